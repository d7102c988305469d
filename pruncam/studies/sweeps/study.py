"""The phases of the study of pruning sweeps."""

from functools import cached_property
from typing import Any

import pandas as pd

from pruncam._core.machine import Machine
from pruncam._core.seeds import derive
from pruncam.datasets import ImageSet
from pruncam.profiles import DatasetSpec
from pruncam.report.claims import Finding, read_statements
from pruncam.report.result import Drawing
from pruncam.studies import score_tables
from pruncam.studies.study import Measurement, PruningStudy, StudyResult, Tables, Task
from pruncam.studies.sweeps import analysis, claims, figures, map_moves, published
from pruncam.studies.sweeps.config import SweepsConfig
from pruncam.studies.sweeps.correctness import Correctness, joined
from pruncam.studies.sweeps.experiment import L1, SweepsExperiment
from pruncam.studies.sweeps.resampling import ResampledAccuracies
from pruncam.studies.sweeps.results import SweepResults
from pruncam.studies.work import ExperimentWork, Work


class SweepsStudy(PruningStudy[SweepsConfig, SweepsExperiment]):
    """Does a complex data set tolerate less pruning?"""

    name = "sweeps"
    config_class = SweepsConfig
    experiment_class = SweepsExperiment

    def load_experiment(self, spec: DatasetSpec) -> SweepsExperiment:
        """Return the experiment of one data set.

        Complexity may be measured in more images than are trained on, or in fewer; the larger set
        is loaded once.
        """
        train_images = self.config.train_images
        csg_images = self.config.csg_images
        at_most = None
        if train_images is not None and csg_images is not None:
            at_most = max(train_images, csg_images)
        largest = self.as_network_takes(self.load_images(spec, "train", at_most), spec)
        return SweepsExperiment(
            self.config,
            spec,
            train=_first(largest, train_images),
            test=self.load_split(spec, "test"),
            trainer=self.new_trainer(precision=self.config.precision),
            pool=_first(largest, csg_images),
        )

    def measure_experiment(self, experiment: SweepsExperiment) -> Measurement:
        """Return scores, correctness, complexity, and the weights that are still zero."""
        return Measurement(
            rows=experiment.scores(),
            shuffled=experiment.shuffled_scores(),
            tables={
                "complexity": analysis.complexity(experiment),
                "connections": experiment.connections(),
            },
            extras={"correctness": experiment.correctness()},
        )

    def replicate_tasks(self) -> list[Task]:
        """Return the tasks that measure the accuracies of the further baselines' models."""
        return [replicate.correctness for replicate in self.replicates]

    def measuring_work(self, part: ExperimentWork[SweepsExperiment]) -> list[Work]:
        """Return the steps of `measure_experiment`."""
        scored = ExperimentWork(part.experiment.on_first_images(), part.samples)
        return [
            *scored.scorings(),
            scored.shuffled(),
            *_correctness_work(part),
            *analysis.complexity_work(part.experiment),
        ]

    def replicate_work(self, part: ExperimentWork[SweepsExperiment]) -> list[Work]:
        """Return the scores and the accuracies of a further baseline's models."""
        scored = ExperimentWork(part.experiment.on_first_images(), part.samples)
        return [*scored.scorings(), *_correctness_work(part)]

    def measure(self) -> None:
        """Measure every experiment, and the accuracies of the further baselines' models."""
        super().measure()
        tasks = self.replicate_tasks()
        self.replicate_correctness: list[Correctness] = self.run_in_parallel(tasks) if tasks else []

    @cached_property
    def accuracies(self) -> dict[str, ResampledAccuracies]:
        """The accuracies of all models over all trainings, by data set."""
        parts = {name: [m.extras["correctness"]] for name, m in self.measurements.items()}
        for correctness in self.replicate_correctness:
            parts[correctness.dataset].append(correctness)
        return {
            name: ResampledAccuracies(
                joined(of_dataset),
                count=self.config.bootstrap,
                seed=derive(self.config.seed, "accuracies", name),
            )
            for name, of_dataset in parts.items()
        }

    def tables(self) -> Tables:
        """Return the tables by name; "2" is the paper's."""
        config = self.config
        accuracies = self.accuracies.values()
        measured = self.measured_tables()
        sweep = analysis.sweep(accuracies)
        ours = analysis.with_complexity(sweep, measured["complexity"])
        sources = analysis.by_source(self._good_enough(ours))
        of_all_rates = {name: sources[name] for name in (analysis.OURS, analysis.PRINTED)}
        moves = map_moves.moves(config, accuracies, self.paired_scores)
        return {
            "2": published.table_beside_ours(ours, measured["complexity"]),
            "published": published.numbers_beside_ours(ours, measured["complexity"]),
            "sweep": sweep,
            "mean_losses": analysis.mean_losses(accuracies, config.rates),
            "correlations": analysis.correlations(of_all_rates),
            "limits": analysis.limits(config, accuracies, sources),
            "rate_choice": analysis.rate_choices(config, sources),
            "maps": map_moves.map_scores(config, self.rows, sweep),
            "moves": moves,
            "moves_count": map_moves.counts(self._good_enough(moves)),
            "controls": score_tables.controls(self.control_rows),
            **self.common_tables(),
            **measured,
        }

    def _good_enough(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of the data sets whose baseline is good enough for a claim."""
        return table[~table["dataset"].isin(list(self.too_weak))]

    def findings(self, tables: Tables) -> dict[str, Finding]:
        """Return the findings on claims C1, C2, C4 to C6 and C7c."""
        results = SweepResults(self.config, self.accuracies, tables, self.too_weak)
        return claims.findings(read_statements(self.name), results)

    def figures(self, tables: Tables) -> dict[str, Drawing]:
        """Return Figures 2 to 5 and those that the paper does not have."""
        return figures.drawings(self.config, tables, self.provenance())

    def stable_lines(self, tables: Tables) -> list[str]:
        """Return the numbers of models and images, and of pruned weights."""
        return [
            line
            for experiment in self.experiments
            for line in (
                experiment.description,
                _pruned_counts(experiment, tables),
            )
        ]


def _correctness_work(part: ExperimentWork[SweepsExperiment]) -> list[Work]:
    """Return the steps of the correctness of all models."""
    experiment = part.experiment
    return [
        Work(
            experiment.correctness_step(group),
            part.samples.classifying,
            amount=len(experiment.test) * (1 + len(group)),
        )
        for group in experiment.groups()
    ]


def _first(images: ImageSet, count: int | None) -> ImageSet:
    """Return the first `count` images; all of them if there are fewer, or for None."""
    return images.first(min(count or len(images), len(images)))


def _pruned_counts(experiment: SweepsExperiment, tables: Tables) -> str:
    """Return the number of weights pruned at every rate, in words."""
    connections = tables["connections"]
    rows = connections[(connections["dataset"] == experiment.dataset) & (connections["rule"] == L1)]
    counts = ", ".join(f"{count:,}" for count in rows["pruned"])
    weights = rows["weights"].iloc[0]
    return f"{experiment.shown_name}: of {weights:,} convolution weights are pruned {counts}"


def configure(profile: str, **overrides: Any) -> SweepsConfig:
    """Return the configuration of a profile ("quick", "overnight", "paper") with overrides."""
    return SweepsStudy.configure(profile, **overrides)


def run(
    config: SweepsConfig,
    progress: bool = True,
    *,
    machine: Machine | None = None,
) -> StudyResult:
    """Run the study; see `Study.run`."""
    return SweepsStudy(config, machine=machine, progress=progress).run()
