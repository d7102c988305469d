"""The phases of the Sp2PS study."""

from functools import partial
from typing import Any

import pandas as pd

from pruncam._core.machine import Machine
from pruncam.datasets import ImageSet, marks
from pruncam.report.claims import Finding, read_statements
from pruncam.report.result import Drawing
from pruncam.studies import diagnostics, score_tables
from pruncam.studies.cached_trainer import CachedTrainer
from pruncam.studies.experiment import Variant
from pruncam.studies.figures import in_paper_order
from pruncam.studies.readings import ranking, scores_by_reading
from pruncam.studies.sp2ps import claims, figures, highlights, published
from pruncam.studies.sp2ps.agreement import score_agreement
from pruncam.studies.sp2ps.config import Sp2psConfig
from pruncam.studies.sp2ps.drop_claims import CIFAR
from pruncam.studies.sp2ps.experiment import L1, Sp2psExperiment
from pruncam.studies.sp2ps.figure_images import figure_image
from pruncam.studies.sp2ps.highlights import Highlights, highlights_by_image
from pruncam.studies.sp2ps.sensitivity import sensitivity, sensitivity_work
from pruncam.studies.sp2ps.shortcut import Shortcut
from pruncam.studies.study import Measurement, PruningStudy, StudyResult, Tables, Task
from pruncam.studies.work import ExperimentWork, Work, of_experiments

_SHOWN_CLASSES = {  # of the images in the figures: the first name that the data set has
    "CIFAR-10": ("automobile", "car"),
    "STL-10": ("deer", "dog", "boat"),
}


class Sp2psStudy(PruningStudy[Sp2psConfig, Sp2psExperiment]):
    """Do heatmaps of a pruned and fine-tuned network still match the unpruned one's?"""

    name = "sp2ps"
    config_class = Sp2psConfig
    experiment_class = Sp2psExperiment

    def load(self) -> None:
        """Load the images of every data set and of the shortcut."""
        super().load()
        # If its images are those of an experiment, the baseline is trained once.
        by_spec = dict(zip(self.config.datasets, self.experiments, strict=True))
        spec = self.config.shortcut
        self.shortcut = Shortcut(by_spec.get(spec) or self.load_experiment(spec))
        marks.check_marks(self.shortcut.experiment.test)

    @property
    def all_experiments(self) -> list[Sp2psExperiment]:
        """The experiments and, if it is another one, that of the shortcut."""
        return list(dict.fromkeys([*self.experiments, self.shortcut.experiment]))

    def train(self) -> None:
        """Train every baseline and variant, and the models of the shortcut."""
        self.progress.expect(self.shortcut.epochs)
        if self.shortcut.experiment not in self.experiments:
            self.progress.expect(self.shortcut.experiment.baseline_epochs)
        super().train()

    def baseline_tasks(self) -> list[Task]:
        """Return the tasks that train the baselines, that of the shortcut among them."""
        of_others = [e for e in self.all_experiments if e not in self.experiments]
        return [*super().baseline_tasks(), *(partial(getattr, e, "baseline") for e in of_others)]

    def variant_tasks(self) -> list[Task]:
        """Return the tasks that train all other models, those of the shortcut last."""
        return [*super().variant_tasks(), *self.shortcut.training_tasks()]

    def replicate_tasks(self) -> list[Task]:
        """Return the tasks that measure what the maps of further baselines highlight."""
        return [partial(highlights_by_image, replicate) for replicate in self.replicates]

    def stages(self) -> list[list[Task]]:
        """Return the tasks of a pruning study, and that of the table of the shortcut."""
        *stages, last = super().stages()
        return [*stages, [*last, self.shortcut.table]]

    def measure_experiment(self, experiment: Sp2psExperiment) -> Measurement:
        """Return scores, an image to show, and the sensitivity to the choices left open."""
        pruned = _pruned_variants(experiment)
        tables = {
            "sensitivity": sensitivity(experiment),
            "readings": scores_by_reading(experiment, pruned, ("sp2ps", "pe")),
        }
        object_hits = diagnostics.object_hits(experiment)
        if object_hits is not None:
            tables["object_hits"] = object_hits
        names = _SHOWN_CLASSES.get(experiment.dataset, ())
        shown_class = next((name for name in names if name in experiment.test.classes), "")
        return Measurement(
            rows=experiment.scores(),
            shuffled=experiment.shuffled_scores(),
            tables=tables,
            extras={
                "image": figure_image(experiment, shown_class),
                "highlights": highlights_by_image(experiment),
            },
        )

    def measure(self) -> None:
        """Measure every experiment, and what the maps of further baselines highlight."""
        super().measure()
        tasks = self.replicate_tasks()
        of_replicates = self.run_in_parallel(tasks) if tasks else []
        by_experiment = [m.extras["highlights"] for m in self.measurements.values()]
        trainings = [pd.concat(by_experiment, ignore_index=True)]
        for seed in self.config.baseline_seeds:
            pairs = zip(self.replicates, of_replicates, strict=True)
            of_seed = [rows for replicate, rows in pairs if replicate.baseline_seed == seed]
            trainings.append(pd.concat(of_seed, ignore_index=True))
        self.highlights = Highlights(trainings)

    def work(self) -> list[Work]:
        """Return the steps of all trainings and measurements, those of the shortcut last."""
        own, others = self.shortcut.experiment, [*self.experiments, *self.replicates]
        *_, part = of_experiments([*others, own])
        baseline = [] if own in others or own.is_shipped else [part.baseline()]
        return [*super().work(), *baseline, *self.shortcut.work(part)]

    def measuring_work(self, part: ExperimentWork) -> list[Work]:
        """Return the steps of `measure_experiment` and of the table of times."""
        experiment = part.experiment
        return [
            *part.scorings(),
            part.shuffled(),
            *part.readings(_pruned_variants(experiment)),
            _highlights_work(part),
            sensitivity_work(part),
            *part.object_hits(),
            *part.times([L1]),
        ]

    def replicate_work(self, part: ExperimentWork) -> list[Work]:
        """Return the scores of a further baseline's models, and what their maps highlight."""
        return [*part.scorings(), _highlights_work(part)]

    def tables(self) -> Tables:
        """Return the tables by name; "1" to "3" are those of the paper."""
        rows = self.rows
        models = score_tables.accuracies(self.config, rows)
        of_cifar = published.our_drops(self.paired_scores, CIFAR)
        printed = {
            number: published.table_beside_ours(of_cifar, method)
            for number, method in published.METHODS.items()
            if method in self.config.methods
        }
        classes = {e.dataset: e.test.classes for e in self.experiments}
        measured = self.measured_tables()
        readings = measured["readings"]
        of_readings = published.distances(
            readings[readings["dataset"] == CIFAR],
            models[models["dataset"] == CIFAR],
        )
        costs = [diagnostics.costs(experiment, L1) for experiment in self.experiments]
        times = [diagnostics.times(experiment, L1) for experiment in self.experiments]
        return {
            **printed,
            "published": published.numbers_beside_ours(self.paired_scores, printed),
            "curves": score_tables.curves(self.config, rows, models),
            "models": models,
            "drops": score_tables.drops(self.config, rows, models),
            "controls": score_tables.controls(self.control_rows),
            "classes": score_tables.by_class(rows, classes),
            "correctness": score_tables.by_correctness(rows),
            "score_agreement": score_agreement(self.paired_scores),
            "highlights": self.highlights.table(self.config.bootstrap, self.config.seed),
            "costs": pd.concat(costs, ignore_index=True),
            "times": pd.concat(times, ignore_index=True),
            "shortcut": self.shortcut.table(),
            "reading_ranks": ranking(of_readings),
            **self.common_tables(),
            **measured,
        }

    def findings(self, tables: Tables) -> dict[str, Finding]:
        """Return the findings on claims S1 to S12."""
        statements = read_statements(self.name)
        return claims.findings(statements, self.paired_scores, self.highlights)

    def figures(self, tables: Tables) -> dict[str, Drawing]:
        """Return Figures 1 to 13 and that of the shortcut."""
        images = {name: m.extras["image"] for name, m in self.measurements.items()}
        classes = {e.dataset: len(e.test.classes) for e in self.experiments}
        provenance = self.shortcut.experiment.test.provenance
        drawings = {
            **figures.drawings(self.config, tables, images, self.provenance()),
            "3": figures.networks(self.config, classes),
            "shortcut": figures.shortcut(self.config, self.shortcut.sample(), provenance),
        }
        return in_paper_order(drawings)

    @property
    def result_name(self) -> str:
        """The name of the study; with "-filters" if whole filters are pruned."""
        return self.name if self.config.pruning == "weights" else f"{self.name}-filters"

    def stable_lines(self, tables: Tables) -> list[str]:
        """Return the numbers of models and images."""
        return [experiment.description for experiment in self.experiments]

    def facts(self) -> dict[str, Any]:
        """Return the facts of every pruning study, the models of the shortcut among them."""
        facts = super().facts()
        further_baselines = len(self.all_experiments) - len(self.experiments)
        return facts | {"models": facts["models"] + further_baselines + 2}

    @property
    def image_sets(self) -> list[ImageSet]:
        """Training and test images of all experiments."""
        return [images for e in self.all_experiments for images in (e.train, e.test)]

    @property
    def trainers(self) -> list[CachedTrainer]:
        """The trainers of all experiments."""
        return [experiment.trainer for experiment in self.all_experiments]


def _pruned_variants(experiment: Sp2psExperiment) -> list[Variant]:
    return [variant for variant in experiment.variants if variant.rule in experiment.rules]


def _highlights_work(part: ExperimentWork) -> Work:
    """Return the step of what the maps of all models highlight."""
    experiment = part.experiment
    images, models = experiment.few_test_images(), len(experiment.variants)
    return part.scoring(highlights.step(experiment), models, images)


def configure(profile: str, **overrides: Any) -> Sp2psConfig:
    """Return the configuration of a profile ("quick", "overnight", "paper") with overrides."""
    return Sp2psStudy.configure(profile, **overrides)


def run(
    config: Sp2psConfig, progress: bool = True, *, machine: Machine | None = None
) -> StudyResult:
    """Run the study; see `Study.run`."""
    return Sp2psStudy(config, machine=machine, progress=progress).run()
