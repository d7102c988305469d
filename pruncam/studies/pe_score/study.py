"""The phases of the PE-score study."""

from typing import Any

import pandas as pd

from pruncam import pruning
from pruncam._core.machine import Machine
from pruncam.profiles import DatasetSpec
from pruncam.report.claims import Finding, read_statements
from pruncam.report.result import Drawing
from pruncam.studies import diagnostics, samples, score_tables
from pruncam.studies.experiment import Variant
from pruncam.studies.original_data import is_complete, is_same_dataset
from pruncam.studies.pe_score import (
    cited,
    claims,
    figures,
    localisation,
    map_intensity,
    published,
    sensitivity,
)
from pruncam.studies.pe_score.config import PeScoreConfig
from pruncam.studies.pe_score.experiment import PeScoreExperiment
from pruncam.studies.pe_score.rate_selection import rate_choices
from pruncam.studies.pe_score.shortcut import has_marks, mark_reliance, marks_step
from pruncam.studies.readings import ranking, scores_by_reading
from pruncam.studies.study import Measurement, PruningStudy, StudyResult, Tables
from pruncam.studies.work import ExperimentWork, Work
from pruncam.training import has_dropout

_SHOWN_CLASSES = {
    "CIFAR-10": "automobile",
    "COVID-19": "covid",
}  # what the paper's figures show
_LOCALISED = "CIFAR-10"  # the data set of claim P10
_PAPER_SIZE = 224  # pixels of the images in the paper's code
_WITHOUT_CHECKSUM = "covid19"  # a data set told by its name and number of images alone


class PeScoreStudy(PruningStudy[PeScoreConfig, PeScoreExperiment]):
    """Can a model be trusted when filters are removed?"""

    name = "pe_score"
    config_class = PeScoreConfig
    experiment_class = PeScoreExperiment

    def load_experiment(self, spec: DatasetSpec) -> PeScoreExperiment:
        """Return the experiment of one data set, which knows if its images are the original ones.

        Resized images no longer tell.
        """
        test = self.load_images(spec, "test", self.config.test_images)
        return PeScoreExperiment(
            self.config,
            spec,
            self.load_split(spec, "train"),
            self.as_network_takes(test, spec),
            self.new_trainer(precision=self.config.precision),
            original=test.original or spec.source == _WITHOUT_CHECKSUM,
        )

    @property
    def training_jobs(self) -> int | None:
        """One if trainings would disturb each other.

        Dropout draws from the one random state of the process, and SeNPIS sets the precision of a
        GPU for all of it.
        """
        disturbs = has_dropout(self.experiments[0].network())
        return 1 if disturbs or self.machine.torch_device.type == "cuda" else None

    def measure_experiment(self, experiment: PeScoreExperiment) -> Measurement:
        """Return scores, an image to show, hits, marks, and the sensitivity to class and layer."""
        tables = {
            "readings": scores_by_reading(experiment, _models_for_readings(experiment), ("pe",)),
            "object_hits": diagnostics.object_hits(experiment),
            "marks": mark_reliance(experiment),
            "sensitivity_to_the_class": sensitivity.sensitivity_to_the_class(experiment),
        }
        intensities = map_intensity.by_image(experiment)
        if intensities is not None:
            tables["intensity"] = map_intensity.table(intensities)
        hits = localisation.by_image(experiment) if experiment.dataset == _LOCALISED else None
        shown_class = _SHOWN_CLASSES.get(experiment.dataset, "")
        index = samples.choose_of_class(experiment, shown_class)
        return Measurement(
            rows=experiment.scores(),
            shuffled=experiment.shuffled_scores(),
            tables={name: table for name, table in tables.items() if table is not None},
            extras={
                "sample": samples.sample(experiment, index),
                "intensities": intensities,
                "hits": hits,
            },
        )

    def measuring_work(self, part: ExperimentWork) -> list[Work]:
        """Return the steps of `measure_experiment` and of the table of times."""
        experiment = part.experiment
        few = experiment.few_test_images()
        first = len(experiment.of_rule(experiment.config.criteria[0]))
        crossed = [part.scoring(step, first, few) for step in sensitivity.steps(experiment)]
        intensities = []
        if map_intensity.METHOD in experiment.config.methods:
            models = len(experiment.trained_variants)
            intensities.append(part.scoring(map_intensity.step(experiment), models, few))
        return [
            *part.scorings(),
            part.shuffled(),
            *part.readings(_models_for_readings(experiment)),
            *crossed,
            *intensities,
            *part.object_hits(),
            *_marks_work(part),
            *_hits_work(part),
            *part.times(experiment.config.criteria),
        ]

    def tables(self) -> Tables:
        """Return the tables by name."""
        rows = self.rows
        models = score_tables.accuracies(self.config, rows)
        curves = score_tables.curves(self.config, rows, models)
        rate_choice, images = rate_choices(self.config, curves, rows)
        classes = {e.dataset: e.test.classes for e in self.experiments}
        models_by_rate = [(e, rule) for e in self.experiments for rule in self.config.criteria]
        costs = pd.concat([diagnostics.costs(*pair) for pair in models_by_rate], ignore_index=True)
        times = [diagnostics.times(*pair) for pair in models_by_rate]
        measured = self.measured_tables()
        return {
            "published": published.numbers_beside_ours(curves),
            "curves": curves,
            "models": models,
            "drops": score_tables.drops(self.config, rows, models),
            "controls": score_tables.controls(self.control_rows),
            "classes": score_tables.by_class(rows, classes),
            "correctness": score_tables.by_correctness(rows),
            "rate_choice": rate_choice,
            "inspect": images,
            "costs": costs,
            "cited": cited.cited_beside_ours(costs, models),
            "times": pd.concat(times, ignore_index=True),
            "reading_ranks": ranking(published.distances(measured["readings"])),
            **self.common_tables(),
            **measured,
        }

    def findings(self, tables: Tables) -> dict[str, Finding]:
        """Return the findings on claims P1 to P11."""
        measured = claims.Measured(
            self.paired_scores, self._measured_rows("intensities"), self._measured_rows("hits")
        )
        return claims.findings(read_statements(self.name), measured)

    def _measured_rows(self, name: str) -> pd.DataFrame | None:
        """Return rows by image of all data sets that have them; None without any."""
        parts = [m.extras[name] for m in self.measurements.values() if m.extras[name] is not None]
        return pd.concat(parts, ignore_index=True) if parts else None

    def figures(self, tables: Tables) -> dict[str, Drawing]:
        """Return Figures 1 to 9."""
        shown = {name: m.extras["sample"] for name, m in self.measurements.items()}
        return figures.drawings(self.config, tables, shown, self.provenance())

    def stable_lines(self, tables: Tables) -> list[str]:
        """Return the numbers of models and images, and the sizes of the smallest model's layers."""
        return [
            line
            for experiment in self.experiments
            for line in (experiment.description, _layer_sizes(experiment))
        ]

    @property
    def stand_ins(self) -> list[str]:
        """The paper's data sets for which other images stand in, or the same at another size."""
        return [e.dataset for e in self.experiments if not is_papers_data(e)]

    @property
    def other_images(self) -> list[str]:
        """The paper's data sets in whose place there are images of another one."""
        return [e.dataset for e in self.experiments if not is_same_dataset(e.dataset, e.test)]


def _models_for_readings(experiment: PeScoreExperiment) -> list[Variant]:
    """Return the models whose PE is printed, by which readings are ranked; all if there is none."""
    pruned = [v for v in experiment.variants if v.rule in experiment.rules]
    printed = published.models_with_printed_pe()
    return [v for v in pruned if (v.rule, v.rate) in printed] or pruned


def is_papers_data(experiment: PeScoreExperiment) -> bool:
    """Return True if the images are all of the paper's, with its pixels, at its size."""
    complete = is_complete(experiment.dataset, experiment.train, experiment.test)
    size = experiment.test.images.shape[-1]
    return complete and experiment.original and size == _PAPER_SIZE


def _layer_sizes(experiment: PeScoreExperiment) -> str:
    """Return the sizes of the layers of the first criterion's smallest model, in words."""
    variant = experiment.of_rule(experiment.config.criteria[0])[-1]
    layers = pruning.prunable(experiment.model(variant)).values()
    sizes = [len(layer.get_parameter("weight")) for layer in layers]
    return f"{experiment.shown_name}: filters and neurons left at {variant.rate:.0%}: {sizes}"


def configure(profile: str, **overrides: Any) -> PeScoreConfig:
    """Return the configuration of a profile ("quick", "overnight", "paper") with overrides."""
    return PeScoreStudy.configure(profile, **overrides)


def run(
    config: PeScoreConfig,
    progress: bool = True,
    *,
    machine: Machine | None = None,
) -> StudyResult:
    """Run the study; see `Study.run`."""
    return PeScoreStudy(config, machine=machine, progress=progress).run()


def _marks_work(part: ExperimentWork) -> list[Work]:
    """Return the step of `mark_reliance`, if the images have marks."""
    experiment = part.experiment
    if not has_marks(experiment):
        return []
    models = 1 + len(experiment.trained_variants)
    return [part.explaining(marks_step(experiment), models, experiment.few_test_images())]


def _hits_work(part: ExperimentWork) -> list[Work]:
    """Return the step of `localisation.by_image`, if the objects of the images are known."""
    experiment = part.experiment
    if experiment.dataset != _LOCALISED or experiment.test.objects is None:
        return []
    models = 1 + len(localisation.controls_of(experiment))
    return [part.explaining(localisation.hits_step(experiment), models, experiment.test)]
