"""The phases of the MNIST IoU study."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import pandas as pd

from pruncam import networks
from pruncam._core.executor import run_tasks
from pruncam._core.machine import Machine
from pruncam.datasets import ImageSet, catalog
from pruncam.report.claims import Finding, Statement, read_statements
from pruncam.report.result import Drawing
from pruncam.studies.cached_trainer import CachedTrainer
from pruncam.studies.mnist_iou import (
    analysis,
    claims,
    correlations,
    cuts,
    figures,
    network_scale,
    published,
    readings,
    seed_groups,
    significance,
    work,
)
from pruncam.studies.mnist_iou.analysis import BASE, dataset_variant
from pruncam.studies.mnist_iou.chains import ACCURACY, Chains
from pruncam.studies.mnist_iou.config import MnistIouConfig
from pruncam.studies.mnist_iou.level_scores import LevelScorer
from pruncam.studies.mnist_iou.lottery_run import LotteryRun
from pruncam.studies.mnist_iou.samples import choose_samples
from pruncam.studies.mnist_iou.sanity import sanity_checks
from pruncam.studies.original_data import stands_in
from pruncam.studies.study import Study, StudyResult, Tables, Task
from pruncam.studies.work import Work
from pruncam.training import resolve_engine

_DATASET = "MNIST"  # of the thesis
_USUAL_SOURCES = ("mnist", "digits")  # those of the profiles
_IMAGE_SHAPE = (1, 28, 28)


class MnistIouStudy(Study[MnistIouConfig]):
    """The fit of heatmaps and digits as a network is pruned by the lottery-ticket method."""

    name = "mnist_iou"
    config_class = MnistIouConfig

    def load(self) -> None:
        """Load the images, and plan a run per variant or further data set, and seed."""
        config = self.config
        names = [config.dataset, *config.other_datasets]
        self.images = {
            name: (self._load_split(name, "train"), self._load_split(name, "test"))
            for name in names
        }
        recipe = config.recipe("retraining")
        self.engine = resolve_engine(networks.mnist_net(), "auto", recipe)
        self.runs = [self._new_run(config, seed, BASE) for seed in config.all_seeds]
        for variant in config.variants:
            changed = config.variant(variant)
            for seed in config.seeds[: config.variant_seeds]:
                self.runs.append(self._new_run(changed, seed, variant))
        for name in config.other_datasets:
            changed = config.with_dataset(name)
            for seed in config.seeds:
                self.runs.append(self._new_run(changed, seed, dataset_variant(name)))

    def _load_split(self, source: str, split: str) -> ImageSet:
        images = catalog.load(source, split, data_dir=self.machine.data_dir)
        shape = tuple(images.images.shape[1:])
        if shape != _IMAGE_SHAPE:
            raise ValueError(f"the MNIST network takes 1x28x28 images, {source} has {shape}")
        count = getattr(self.config, f"{split}_images")
        if count is not None:
            images = images.first(count)
        return images.to(self.machine.torch_device)

    def _new_run(self, config: MnistIouConfig, seed: int, variant: str) -> LotteryRun:
        train, test = self.images[config.dataset]
        return LotteryRun(config, seed, variant, train, test, self.new_trainer(self.engine))

    def stages(self) -> list[list[Task]]:
        """Return the tasks: the levels of every run, then their scores under every reading."""
        trainings = [run.train_levels for run in self.runs]
        scorings = [LevelScorer(run).scores for run in self.runs]
        read = [
            partial(readings.level_means, run, reading)
            for reading in self._readings
            for run in self._runs_of_thesis
        ]
        return [trainings, [*scorings, *read]]

    def train(self) -> None:
        """Train all levels of every run, and score their heatmaps under every reading.

        The first runs are scored while the last ones are trained, or cores would be idle.
        """
        self.progress.expect(sum(run.epochs for run in self.runs))
        trainings, measurements = self.stages()
        results = iter(self.run_in_parallel([*trainings, *measurements])[len(trainings) :])
        self.scores = {(run.variant, run.seed): next(results) for run in self.runs}
        self.readings: readings.Means = {
            reading: {run.seed: next(results) for run in self._runs_of_thesis}
            for reading in self._readings
        }

    @cached_property
    def _readings(self) -> list[readings.Reading]:
        return readings.possible_readings(self.runs[0])

    @property
    def _runs_of_thesis(self) -> list[LotteryRun]:
        """The runs of the thesis's seeds, under the main configuration."""
        return self.runs[: len(self.config.seeds)]

    def work(self) -> list[Work]:
        """Return the steps of all runs and readings."""
        return work.of_runs(self.runs, self.runs[: len(self.config.seeds)])

    @property
    def jobs(self) -> int:
        """The number of tasks that run side by side; on the CPU, if the compiled engine trains."""
        machine = Machine("cpu", jobs=self.machine.jobs) if self.engine == "fused" else self.machine
        return machine.parallel(len(self.runs))

    def measure(self) -> None:
        """Choose the images to show; all else was measured during the training."""
        first_run = self.runs[0]
        self.samples = choose_samples(first_run, self.scores[first_run.variant, first_run.seed])

    def run_in_parallel(self, tasks: Sequence[Task], at_most: int | None = None) -> list[Any]:
        """Run tasks side by side: on all CPU cores if the compiled engine trains.

        That engine trains on the CPU even if the machine's device is a GPU.
        """
        machine = self.machine
        if self.engine == "fused":
            machine = replace(machine, device="cpu")
        return run_tasks(
            lambda task: task(),
            tasks,
            at_most or machine.parallel(len(tasks)),
            self.progress,
        )

    def tables(self) -> Tables:
        """Return the tables by name; "3_1" is the thesis's, "figure_3_1" the values of a figure."""
        config, levels = self.config, self.levels
        of_thesis, of_all = (
            analysis.rows_of(levels, BASE, seeds) for seeds in (config.seeds, config.all_seeds)
        )
        by_level = analysis.by_level(config, self.scores, of_thesis)
        by_reading = readings.by_level(config, self.readings)
        tables = {
            "scale": network_scale.table(self._runs_by_dataset, levels),
            "published": published.numbers_beside_ours(config, by_level, levels, self.samples),
            "figure_3_1": by_level,
            "figure_control": analysis.by_level(config, self.scores, of_all),
            "losses": analysis.losses(self.chains(config.dataset, config.all_seeds)),
            "correctness": analysis.correctness(config, levels),
            **self._correlation_tables(),
            "readings": by_reading,
            "reading_ranks": readings.ranks(by_reading),
            "levels": levels,
            "sanity": self._sanity_checks(),
            "estimates": self._estimates(),
        }
        if config.other_datasets:
            tables["datasets"] = correlations.by_dataset(config, levels)
            tables["figure_datasets"] = analysis.by_dataset_and_level(config, self.scores, levels)
        return tables

    def _correlation_tables(self) -> Tables:
        """Return the tables on the correlation of IoU and accuracy."""
        config, levels = self.config, self.levels
        return {
            "3_1": correlations.table_3_1(config, levels),
            "cuts": cuts.table(config, levels, self.readings),
            "normality": significance.normality(config, levels),
            "chain_permutation": significance.chain_permutation(config, levels),
            "fits": correlations.by_fit_score(config, levels),
            "seeds": correlations.by_seed(config, levels),
            "seed_groups": seed_groups.table(config, levels),
            "sensitivity": correlations.sensitivity(config, levels, self.readings),
        }

    @cached_property
    def levels(self) -> pd.DataFrame:
        """The mean scores of every level of every run."""
        return analysis.levels(self.scores)

    def chains(self, dataset: str, seeds: Sequence[int]) -> Chains:
        """Return the chains of some seeds on a data set under the main configuration."""
        variant = analysis.variants_by_dataset(self.config)[dataset]
        labels = self.images[dataset][1].labels
        guessing = 100 * int(labels.bincount().max()) / len(labels)
        lowered = self._accuracy(BASE) - self._accuracy(variant)
        return Chains(analysis.rows_of(self.levels, variant, seeds), guessing, lowered)

    def _accuracy(self, variant: str) -> float:
        """Return the mean accuracy at level 0 of the thesis's seeds on noisy images in %."""
        rows = analysis.rows_of(self.levels, variant, self.config.seeds)
        return rows.loc[rows["level"] == 0, ACCURACY].mean()

    def _estimates(self) -> pd.DataFrame:
        """Return the estimates of all claims by data set and group of seeds."""
        config = self.config
        series = {}
        for dataset in self._runs_by_dataset:
            groups = cuts.series_of(config) if dataset == config.dataset else {}
            groups = groups or {cuts.THESIS_SEEDS: config.seeds}
            for title, seeds in groups.items():
                chains = self.chains(dataset, seeds)
                series[f"{dataset}, {title}"] = claims.findings(self._statements, chains)
        return claims.estimates(self._statements, series)

    @property
    def _runs_by_dataset(self) -> dict[str, list[LotteryRun]]:
        """The runs of every data set under the main configuration, the main one first."""
        variants = analysis.variants_by_dataset(self.config)
        return {
            name: [run for run in self.runs if run.variant == variant]
            for name, variant in variants.items()
        }

    def _sanity_checks(self) -> pd.DataFrame:
        """Return the IoU of maps that explain nothing; a column `iou_...` per further data set."""
        first_run, *others = [runs[0] for runs in self._runs_by_dataset.values()]
        table = sanity_checks(first_run.clean, first_run.noisy, first_run.seed)
        for run in others:
            checks = sanity_checks(run.clean, run.noisy, run.seed)
            table[f"iou_{run.config.dataset}"] = checks["iou"]
        return table

    @property
    def _statements(self) -> dict[str, Statement]:
        return read_statements(self.name)

    def findings(self, tables: Tables) -> dict[str, Finding]:
        """Return the findings on claims I1 to I5 from all seeds.

        Beside them, from the thesis's seeds alone, and with each seed left out.
        """
        config, statements = self.config, self._statements
        chains = self.chains(config.dataset, config.all_seeds)
        found = claims.findings(statements, chains)
        if not config.more_seeds:
            return found
        found = claims.with_left_out_seeds(found, statements, chains)
        of_thesis = claims.findings(statements, self.chains(config.dataset, config.seeds))
        return claims.with_thesis_seeds(found, of_thesis, len(config.seeds))

    @property
    def baseline_accuracy(self) -> dict[str, float]:
        """The mean accuracy of all seeds at level 0 on noisy images in %."""
        chains = self.chains(self.config.dataset, self.config.all_seeds)
        return {_DATASET: float(chains.scores(ACCURACY)[:, 0].mean())}

    def figures(self, tables: Tables) -> dict[str, Drawing]:
        """Return the thesis's figures, and those beyond it."""
        run = self.runs[0]
        scale = network_scale.phrase(tables["levels"], run)
        provenance = f"{run.test.provenance}; {scale}"
        return figures.drawings(self.config, tables, self.samples, provenance)

    def stable_lines(self, tables: Tables) -> list[str]:
        """Return the numbers of models, and of weights by level."""
        levels = tables["levels"]
        first_seed = self.config.seeds[:1]
        remaining = analysis.rows_of(levels, BASE, first_seed)["remaining"]
        of_base = [run for run in self.runs if run.variant == BASE]
        return [
            f"{len(levels)} models: {len(self.runs)} chains of {self.config.levels + 1} levels, "
            f"{len(of_base)} of them under the main configuration",
            f"weights remaining: {', '.join(map(str, remaining))}",
        ]

    def facts(self) -> dict[str, Any]:
        """Return the engine, the number of models, and the target layer."""
        models = sum(len(run.models) for run in self.runs)
        layers = {self.config.dataset: self.config.target_layer}
        return {"engine": self.engine, "models": models, "target_layers": layers}

    @property
    def image_sets(self) -> list[ImageSet]:
        """Training and test images of every data set."""
        return [images for splits in self.images.values() for images in splits]

    @property
    def trainers(self) -> list[CachedTrainer]:
        """The trainer of every run."""
        return [run.trainer for run in self.runs]

    @property
    def stand_ins(self) -> list[str]:
        """MNIST, unless the images are all of it."""
        is_replaced = stands_in(_DATASET, *self.images[self.config.dataset])
        return [_DATASET] if is_replaced else []

    @property
    def result_name(self) -> str:
        """The name of the study, with that of the images if they are unusual."""
        source = self.config.dataset
        return self.name if source in _USUAL_SOURCES else f"{self.name}-{source}"


def configure(profile: str, **overrides: Any) -> MnistIouConfig:
    """Return the configuration of a profile ("quick", "overnight", "paper") with overrides."""
    return MnistIouStudy.configure(profile, **overrides)


def run(
    config: MnistIouConfig, progress: bool = True, *, machine: Machine | None = None
) -> StudyResult:
    """Run the study; see `Study.run`."""
    return MnistIouStudy(config, machine=machine, progress=progress).run()
