"""The phases of the MNIST IoU study."""

from collections.abc import Callable, Sequence
from typing import Any

from pruncam import networks
from pruncam._core.executor import run_tasks
from pruncam._core.machine import Machine
from pruncam.datasets import ImageSet, catalog
from pruncam.report.claims import Finding, read_statements
from pruncam.report.result import Drawing
from pruncam.studies.cached_trainer import CachedTrainer
from pruncam.studies.mnist_iou import analysis, claims, correlations, figures, published
from pruncam.studies.mnist_iou.analysis import BASE
from pruncam.studies.mnist_iou.config import MnistIouConfig
from pruncam.studies.mnist_iou.level_scores import LevelScorer
from pruncam.studies.mnist_iou.lottery_run import LotteryRun
from pruncam.studies.mnist_iou.samples import choose_samples
from pruncam.studies.mnist_iou.sanity import sanity_checks
from pruncam.studies.original_data import stands_in
from pruncam.studies.study import Study, StudyResult, Tables
from pruncam.training import resolve_engine

_DATASET = "MNIST"  # of the thesis
_USUAL_SOURCES = ("mnist", "digits")  # those of the profiles
_IMAGE_SHAPE = (1, 28, 28)


class MnistIouStudy(Study[MnistIouConfig]):
    """The fit of heatmaps and digits as a network is pruned by the lottery-ticket method."""

    name = "mnist_iou"
    config_class = MnistIouConfig

    def load(self) -> None:
        """Load the images, and plan a run per variant and seed."""
        self.train_set = self._load_split("train")
        self.test_set = self._load_split("test")
        recipe = self.config.recipe("retraining")
        self.engine = resolve_engine(networks.mnist_net(), "auto", recipe)
        self.runs = [self._new_run(self.config, seed, BASE) for seed in self.config.all_seeds]
        for variant in self.config.variants:
            config = self.config.variant(variant)
            for seed in self.config.seeds[: self.config.variant_seeds]:
                self.runs.append(self._new_run(config, seed, variant))

    def _load_split(self, split: str) -> ImageSet:
        source = self.config.dataset
        images = catalog.load(source, split, data_dir=self.machine.data_dir)
        shape = tuple(images.images.shape[1:])
        if shape != _IMAGE_SHAPE:
            raise ValueError(f"the MNIST network takes 1x28x28 images, {source} has {shape}")
        count = getattr(self.config, f"{split}_images")
        if count is not None:
            images = images.first(count)
        return images.to(self.machine.torch_device)

    def _new_run(self, config: MnistIouConfig, seed: int, variant: str) -> LotteryRun:
        trainer = self.new_trainer(self.engine)
        return LotteryRun(config, seed, variant, self.train_set, self.test_set, trainer)

    def train(self) -> None:
        """Train all levels of every run."""
        self.progress.expect(sum(run.epochs for run in self.runs))
        self.run_in_parallel([run.train_levels for run in self.runs])

    def measure(self) -> None:
        """Score the heatmaps of every level, and choose the images to show."""
        scorers = [LevelScorer(run) for run in self.runs]
        scores = self.run_in_parallel([scorer.scores for scorer in scorers])
        keys = [(run.variant, run.seed) for run in self.runs]
        self.scores = dict(zip(keys, scores, strict=True))
        seeds = self.config.seeds
        of_thesis = scorers[: len(seeds)]
        readings = self.run_in_parallel([scorer.readings for scorer in of_thesis])
        self.readings = dict(zip(seeds, readings, strict=True))
        self.samples = choose_samples(self.runs[0], scores[0])

    def run_in_parallel(self, tasks: Sequence[Callable[[], Any]]) -> list[Any]:
        """Run tasks side by side: on all CPU cores if the compiled engine trains.

        That engine trains on the CPU even if the machine's device is a GPU.
        """
        machine = self.machine
        if self.engine == "fused":
            machine = Machine("cpu", jobs=machine.jobs)
        return run_tasks(
            lambda task: task(),
            tasks,
            machine.parallel(len(tasks)),
            self.progress,
        )

    def tables(self) -> Tables:
        """Return the tables by name; "3_1" is the thesis's, "figure_3_1" the values of a figure."""
        config, samples, first_run = self.config, self.samples, self.runs[0]
        levels = analysis.levels(self.scores)
        by_level = analysis.by_level(config, self.scores)
        noisy = first_run.noisy[:, 0].float() / 255
        return {
            "published": published.numbers_beside_ours(config, by_level, levels, samples),
            "3_1": correlations.table_3_1(config, by_level, levels),
            "figure_3_1": by_level,
            "losses": analysis.losses(config, levels),
            "correctness": analysis.correctness(config, levels),
            "fits": correlations.by_fit_score(config, levels),
            "seeds": correlations.by_seed(config, levels),
            "sensitivity": correlations.sensitivity(config, levels, self.readings),
            "levels": levels,
            "sanity": sanity_checks(first_run.clean, noisy, first_run.seed),
        }

    def findings(self, tables: Tables) -> dict[str, Finding]:
        """Return the findings on claims I1 to I4."""
        return claims.findings(
            read_statements(self.name),
            self.config,
            by_level=tables["figure_3_1"],
            level_table=tables["levels"],
            losses=tables["losses"],
        )

    def figures(self, tables: Tables) -> dict[str, Drawing]:
        """Return the thesis's figures, and three beyond it."""
        return figures.drawings(
            self.config,
            tables,
            self.samples,
            self.test_set.provenance,
        )

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
        """Return the engine and the number of models."""
        models = sum(len(run.models) for run in self.runs)
        return {"engine": self.engine, "models": models}

    @property
    def image_sets(self) -> list[ImageSet]:
        """Training and test images."""
        return [self.train_set, self.test_set]

    @property
    def trainers(self) -> list[CachedTrainer]:
        """The trainer of every run."""
        return [run.trainer for run in self.runs]

    @property
    def stand_ins(self) -> list[str]:
        """MNIST, unless the images are all of it."""
        is_replaced = stands_in(_DATASET, self.train_set, self.test_set)
        return [_DATASET] if is_replaced else []

    @property
    def result_name(self) -> str:
        """The name of the study, with that of the images if they are unusual."""
        source = self.config.dataset
        return self.name if source in _USUAL_SOURCES else f"{self.name}-{source}"


def configure(profile: str, **overrides: Any) -> MnistIouConfig:
    """Return the configuration of a profile ("quick", "laptop", "paper") with overrides."""
    return MnistIouStudy.configure(profile, **overrides)


def run(
    config: MnistIouConfig, progress: bool = True, *, machine: Machine | None = None
) -> StudyResult:
    """Run the study; see `Study.run`."""
    return MnistIouStudy(config, machine=machine, progress=progress).run()
