"""The phases of the study of pruning sweeps."""

from typing import Any

from pruncam._core.machine import Machine
from pruncam.datasets import ImageSet
from pruncam.profiles import DatasetSpec
from pruncam.report.claims import Finding, read_statements
from pruncam.report.result import Drawing
from pruncam.studies import score_tables
from pruncam.studies.study import Measurement, PruningStudy, StudyResult, Tables
from pruncam.studies.sweeps import analysis, claims, figures, published
from pruncam.studies.sweeps.config import SweepsConfig
from pruncam.studies.sweeps.correctness import Correctness
from pruncam.studies.sweeps.experiment import L1, SweepsExperiment


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
            rows=experiment.on_first_images.scores(),
            tables={
                "complexity": analysis.complexity(experiment),
                "connections": experiment.connections(),
            },
            extras={"correctness": experiment.correctness()},
        )

    @property
    def correctness(self) -> dict[str, Correctness]:
        """The test images that each model classifies correctly, by data set."""
        return {name: m.extras["correctness"] for name, m in self.measurements.items()}

    def tables(self) -> Tables:
        """Return the tables by name; "2" is the paper's."""
        config = self.config
        correctness = self.correctness.values()
        measured = self.measured_tables()
        sweep = analysis.sweep(config, correctness)
        ours = analysis.with_complexity(sweep, measured["complexity"])
        usable = ours[~ours["dataset"].isin(list(self.too_weak))]
        sources = analysis.by_source(usable)
        of_all_rates = {name: sources[name] for name in (analysis.OURS, analysis.PRINTED)}
        maps = analysis.map_scores(config, self.rows, sweep)
        return {
            "2": published.table_beside_ours(ours),
            "published": published.numbers_beside_ours(ours, measured["complexity"]),
            "sweep": sweep,
            "correlations": analysis.correlations(of_all_rates),
            "limits": analysis.limits(config, correctness, sources),
            "rate_choice": analysis.rate_choices(config, sources),
            "maps": maps,
            "moves": analysis.moves(config, maps),
            "controls": score_tables.controls(self.rows),
            **self.common_tables(),
            **measured,
        }

    def findings(self, tables: Tables) -> dict[str, Finding]:
        """Return the findings on claims C1, C2, C4 to C6 and C7c."""
        results = claims.SweepResults(self.config, self.correctness, tables, self.too_weak)
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
                _pruned_counts(experiment.dataset, tables),
            )
        ]


def _first(images: ImageSet, count: int | None) -> ImageSet:
    """Return the first `count` images; all of them if there are fewer, or for None."""
    return images.first(min(count or len(images), len(images)))


def _pruned_counts(dataset: str, tables: Tables) -> str:
    """Return the number of weights pruned at every rate, in words."""
    connections = tables["connections"]
    rows = connections[(connections["dataset"] == dataset) & (connections["rule"] == L1)]
    counts = ", ".join(f"{count:,}" for count in rows["pruned"])
    weights = rows["weights"].iloc[0]
    return f"{dataset}: of {weights:,} convolution weights are pruned {counts}"


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
