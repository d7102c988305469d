"""The driver of all studies: load, train, measure, tables, claims, figures."""

import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import pandas as pd

from pruncam._core import disk, paths
from pruncam._core.cluster import Cluster
from pruncam._core.executor import run_tasks
from pruncam._core.machine import Machine
from pruncam._core.progress import Progress
from pruncam._core.store import Store
from pruncam._core.validation import check_choice
from pruncam.datasets import ImageSet, catalog
from pruncam.profiles import DatasetSpec, read_config
from pruncam.report import claims as claim_report
from pruncam.report import manifest
from pruncam.report.claims import Claim, Finding
from pruncam.report.result import Drawing, Result
from pruncam.studies import scale, score_tables
from pruncam.studies.cached_trainer import CachedTrainer, computing_facts
from pruncam.studies.cluster_units import compute_stages
from pruncam.studies.config import PruningConfig
from pruncam.studies.experiment import Experiment
from pruncam.studies.original_data import shown_names, stands_in
from pruncam.studies.paired_scores import CONTROLS, PairedScores
from pruncam.studies.work import ExperimentWork, Work, of_experiments
from pruncam.training import resolve_precision

ConfigType = TypeVar("ConfigType")
PruningConfigType = TypeVar("PruningConfigType", bound=PruningConfig)
ExperimentType = TypeVar("ExperimentType", bound=Experiment)
Tables = dict[str, pd.DataFrame]
Task = Callable[[], Any]
_MANY = 10_000  # tasks, more than any machine has cores


@dataclass(frozen=True, kw_only=True)
class StudyResult(Result):
    """The result of a study: tidy tables, judged claims, figures on demand, and the manifest."""

    study: str
    config: Any
    claims: pd.DataFrame
    judged: list[Claim] = field(default_factory=list)  # the same, with all that was judged
    stable_lines: list[str] = field(default_factory=list)
    shown_names: Mapping[str, str] = field(default_factory=dict)  # of the data sets, in figures

    def stable(self) -> None:
        """Print what holds on every machine: exact counts and verdicts far from their limit."""
        print("\n".join(self.stable_lines))

    def named(self, key: str) -> pd.DataFrame:
        """Return a table in which data sets have the names of the figures.

        Where other images stand in for a paper's data set, that is their own name, with the
        paper's in brackets: "digits (for MNIST)".
        """
        check_choice("table", key, self.tables)
        table = self.tables[key]
        if "dataset" not in table:
            return table
        names = self.shown_names
        return table.assign(dataset=[names.get(name, name) for name in table["dataset"]])

    @property
    def default_folder(self) -> Path:
        """The folder figures/<profile>/<study>."""
        return paths.figures_folder(self.config.profile) / self.study

    @property
    def table_files(self) -> Tables:
        """The tables by the stem of their file."""
        return super().table_files | {"claims": self.claims}


class Study(ABC, Generic[ConfigType]):
    """The study of one paper; a subclass fills in the phases, `run` calls them in order."""

    name: ClassVar[str]
    config_class: ClassVar[type]
    progress_unit: ClassVar[str] = "epoch"
    experiments: Sequence[Any]  # one per data set, filled by `load`

    def __init__(
        self, config: ConfigType, *, machine: Machine | None = None, progress: bool = True
    ):
        if not isinstance(config, self.config_class):
            expected = self.config_class.__name__
            raise TypeError(f"config must be a {expected}: use {self.name}.configure('quick')")
        self.config = config
        self.machine = machine or Machine()
        self.progress = Progress(self.name, self.progress_unit, progress)
        self.cluster_facts: dict[str, Any] = {}
        self._shows_progress = progress

    @classmethod
    def configure(cls, profile: str, **overrides: Any) -> Any:
        """Return the configuration of a profile with single values overridden."""
        return read_config(cls.config_class, cls.name, profile, overrides)

    def run(self) -> StudyResult:
        """Run all phases; finished steps are taken from the store.

        Raises ValueError or DataError in one sentence if data are missing or do not fit.
        """
        started = time.perf_counter()
        self.warn_if_read_only()
        self.load()
        try:
            self.compute_on_cluster()
            self.train()
            self.measure()
        finally:
            self.progress.close()
        tables = self.tables()
        claims = self.claims(tables)
        return StudyResult(
            study=self.result_name,
            config=self.config,
            tables=tables,
            claims=claim_report.table(claims),
            judged=claims,
            drawings=self.figures(tables),
            manifest=self.manifest(time.perf_counter() - started),
            stable_lines=[*self.stable_lines(tables), *_firm_verdicts(claims)],
            shown_names=self.shown_names,
        )

    @property
    def shown_names(self) -> dict[str, str]:
        """The names of the data sets in figures and texts, by the name in the tables."""
        return shown_names(getattr(self.config, "datasets", ()))

    @abstractmethod
    def load(self) -> None:
        """Load the data sets and check that they fit the configuration."""

    @abstractmethod
    def stages(self) -> list[list[Task]]:
        """Return the tasks of all expensive steps, in stages.

        The tasks of a stage do not depend on each other: once those of the stages before are done,
        each can run in a process of its own. Their order follows from the configuration alone.
        """

    def compute_on_cluster(self) -> None:
        """Compute the tasks of all stages on the cluster, if there is one.

        It fills the store: `train` and `measure` then find the steps there.
        """
        address = self.machine.cluster_address
        if address is None:
            return
        with Cluster(address) as cluster:
            bar = Progress(f"{self.name} on the cluster", "unit", self._shows_progress)
            try:
                computed = compute_stages(self, cluster, bar)
            finally:
                bar.close()
        self.cluster_facts = {"cluster": {"workers": cluster.workers, **computed}}

    @abstractmethod
    def train(self) -> None:
        """Train all networks, in parallel where they do not depend on each other."""

    @abstractmethod
    def measure(self) -> None:
        """Compute heatmaps, scores and all else the tables are made of."""

    @abstractmethod
    def tables(self) -> Tables:
        """Return the tables by name."""

    @abstractmethod
    def findings(self, tables: Tables) -> dict[str, Finding]:
        """Return the estimate and evidence for every claim of the paper."""

    @abstractmethod
    def figures(self, tables: Tables) -> dict[str, Drawing]:
        """Return the figures by the paper's number or a name."""

    @abstractmethod
    def stable_lines(self, tables: Tables) -> list[str]:
        """Return lines of counts that are the same on every machine."""

    @abstractmethod
    def work(self) -> list[Work]:
        """Return every step that `run` would compute or take from the store, after `load`."""

    @property
    def jobs(self) -> int:
        """The number of tasks that run side by side."""
        return self.machine.parallel(_MANY)

    @property
    def image_sets(self) -> list[ImageSet]:
        """The image sets of the study, for the manifest."""
        return [images for e in self.experiments for images in (e.train, e.test)]

    @property
    def trainers(self) -> list[CachedTrainer]:
        """The trainers whose steps the manifest counts."""
        return [experiment.trainer for experiment in self.experiments]

    @property
    def stand_ins(self) -> list[str]:
        """The paper's data sets for which other images stand in."""
        return [e.dataset for e in self.experiments if stands_in(e.dataset, e.train, e.test)]

    @property
    def other_images(self) -> list[str]:
        """The stand-ins that are not even re-encoded or resized images of the paper's data set."""
        return self.stand_ins

    @property
    def too_weak(self) -> dict[str, str]:
        """The data sets whose baseline is too weak for any claim, with the reason."""
        return {}

    @property
    def baseline_accuracy(self) -> dict[str, float]:
        """The accuracy of the baselines on all test images in %, by data set."""
        return {}

    def warn_if_read_only(self) -> None:
        """Warn, before hours of work, if the result cannot be saved in its default folder."""
        folder = paths.figures_folder(self.config.profile) / self.result_name
        if not disk.may_be_written(folder):
            warnings.warn(
                f"{folder} cannot be written: name another folder in PRUNCAM_FIGURES, or pass one "
                "to save()",
                stacklevel=3,
            )

    @property
    def result_name(self) -> str:
        """The name of the folder of the results."""
        return self.name

    def claims(self, tables: Tables) -> list[Claim]:
        """Return the judged claims of the paper."""
        return claim_report.judge(
            claim_report.read_statements(self.name),
            self.findings(tables),
            stand_ins=self.stand_ins,
            other_images=self.other_images,
            too_weak=self.too_weak,
            accuracies=self.baseline_accuracy,
        )

    def facts(self) -> dict[str, Any]:
        """Return study-specific entries of the manifest, such as the number of models."""
        return {}

    def manifest(self, seconds: float) -> dict[str, Any]:
        """Return how the result came about."""
        return manifest.describe(
            self.config,
            self.machine,
            self.image_sets,
            profile=self.config.profile,
            **self.facts(),
            **computing_facts(self.trainers),
            **self.cluster_facts,
            wall_seconds=round(seconds, 1),
        )

    def new_trainer(self, engine: str = "auto", precision: str = "float32") -> CachedTrainer:
        """Return a trainer on the study's machine and progress bar."""
        device = self.machine.torch_device
        precision = resolve_precision(precision, device)
        return CachedTrainer(Store(), device, self.progress, engine, precision)

    def run_in_parallel(self, tasks: Sequence[Task], at_most: int | None = None) -> list[Any]:
        """Run tasks without arguments, `at_most` side by side; return their results in order."""
        jobs = at_most or self.machine.parallel(len(tasks))
        return run_tasks(lambda task: task(), tasks, jobs, self.progress)


def _firm_verdicts(claims: list[Claim]) -> list[str]:
    return [f"{claim.statement.claim} {claim.verdict}" for claim in claims if claim.firm]


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The measurements of a pruning study on one data set.

    `rows` has the scores by image, `shuffled` those of the baseline's maps against its maps of
    other images; `tables` are parts of tables of the study, by name; `extras` holds everything
    else, by name.
    """

    rows: pd.DataFrame
    shuffled: pd.DataFrame
    tables: Tables
    extras: dict[str, Any] = field(default_factory=dict)


class PruningStudy(Study[PruningConfigType], Generic[PruningConfigType, ExperimentType]):
    """A study with one experiment per data set: train a network, prune it, score heatmaps."""

    experiment_class: ClassVar[type[Experiment]]

    def load(self) -> None:
        """Load the images of every data set."""
        specs = self.config.datasets
        self.experiments: list[ExperimentType] = [self.load_experiment(spec) for spec in specs]
        self.replicates: list[ExperimentType] = [
            experiment.replicate(seed)
            for experiment in self.experiments
            for seed in self.config.baseline_seeds
        ]

    def load_experiment(self, spec: DatasetSpec) -> ExperimentType:
        """Return the experiment of one data set, nothing trained yet."""
        train, test = self.load_split(spec, "train"), self.load_split(spec, "test")
        trainer = self.new_trainer(precision=self.config.precision)
        return self.experiment_class(self.config, spec, train, test, trainer)

    def load_split(self, spec: DatasetSpec, split: str) -> ImageSet:
        """Return the configured number of images of a split, as the networks take them."""
        at_most = getattr(self.config, f"{split}_images")
        return self.as_network_takes(self.load_images(spec, split, at_most), spec)

    def load_images(self, spec: DatasetSpec, split: str, at_most: int | None) -> ImageSet:
        """Return the first `at_most` images of a split, or all, as they are in the catalogue."""
        data_dir = self.machine.data_dir
        return catalog.load(spec.source, split, data_dir=data_dir, at_most=at_most)

    def as_network_takes(self, images: ImageSet, spec: DatasetSpec) -> ImageSet:
        """Return images in three channels, at the size of the spec, on the study's device.

        Raises ValueError if the images are not square.
        """
        height, width = images.images.shape[2:]
        if height != width:
            shape = tuple(images.images.shape[1:])
            raise ValueError(f"the networks take square images, {spec.source} has {shape}")
        images = images.as_rgb()
        if spec.size is not None:
            images = images.resized(spec.size)
        return images.to(self.machine.torch_device)

    def train(self) -> None:
        """Train every baseline and variant, as many at a time as there are jobs."""
        self.progress.expect(sum(experiment.epochs for experiment in self.trained_experiments))
        # Baselines first, since variants wait for their own.
        self.run_in_parallel([*self.baseline_tasks(), *self.variant_tasks()], self.training_jobs)

    @property
    def training_jobs(self) -> int | None:
        """The largest number of models to train at a time; None: as many as there are jobs."""
        return None

    @property
    def jobs(self) -> int:
        """The number of tasks that run side by side in training, which takes longest."""
        return self.training_jobs or super().jobs

    def stages(self) -> list[list[Task]]:
        """Return the tasks: baselines, the models made from them, scores, further measurements."""
        return [
            self.baseline_tasks(),
            self.variant_tasks(),
            [task for e in self.trained_experiments for task in e.scoring_tasks()],
            [*self.measuring_tasks(), *self.replicate_tasks()],
        ]

    @property
    def trained_experiments(self) -> list[ExperimentType]:
        """The experiments, and those on further baselines."""
        return [*self.experiments, *self.replicates]

    def baseline_tasks(self) -> list[Task]:
        """Return the tasks that train the baselines."""
        return [partial(getattr, experiment, "baseline") for experiment in self.trained_experiments]

    def variant_tasks(self) -> list[Task]:
        """Return the tasks that train all other models, each of which waits for its baseline."""
        return [
            partial(experiment.model, variant)
            for experiment in self.trained_experiments
            for variant in experiment.trained_variants
        ]

    def measuring_tasks(self) -> list[Task]:
        """Return the tasks that measure every experiment."""
        return [partial(self.measure_experiment, experiment) for experiment in self.experiments]

    def replicate_tasks(self) -> list[Task]:
        """Return the tasks that measure more than scores on the further baselines."""
        return []

    def measure(self) -> None:
        """Measure every experiment, as many at a time as there are jobs."""
        measurements = self.run_in_parallel(self.measuring_tasks())
        names = [experiment.dataset for experiment in self.experiments]
        self.measurements: dict[str, Measurement] = dict(zip(names, measurements, strict=True))
        tasks = [experiment.scores for experiment in self.replicates]
        self.replicate_rows: list[pd.DataFrame] = self.run_in_parallel(tasks) if tasks else []

    def work(self) -> list[Work]:
        """Return the steps of all trainings and measurements."""
        parts = of_experiments([*self.experiments, *self.replicates])
        count = len(self.experiments)
        steps = [step for part in parts for step in part.trainings()]
        steps += [step for part in parts[:count] for step in self.measuring_work(part)]
        steps += [step for part in parts[count:] for step in self.replicate_work(part)]
        return steps

    @abstractmethod
    def measuring_work(self, part: ExperimentWork) -> list[Work]:
        """Return the steps of `measure_experiment` and of the tables, for one data set."""

    def replicate_work(self, part: ExperimentWork) -> list[Work]:
        """Return the steps of the measurements on a further baseline."""
        return part.scorings()

    @abstractmethod
    def measure_experiment(self, experiment: ExperimentType) -> Measurement:
        """Return all measurements on the models of one data set."""

    @property
    def rows(self) -> pd.DataFrame:
        """The scores by image of all data sets."""
        return pd.concat([m.rows for m in self.measurements.values()], ignore_index=True)

    @property
    def control_rows(self) -> pd.DataFrame:
        """The scores by image of all controls of all data sets."""
        rows = self.rows
        controls = rows[rows["rule"].isin(CONTROLS)]
        shuffled = [m.shuffled for m in self.measurements.values()]
        return pd.concat([controls, *shuffled], ignore_index=True)

    @cached_property
    def paired_scores(self) -> PairedScores:
        """The scores of all models by training of the baseline."""
        shuffled = [m.shuffled for m in self.measurements.values()]
        trainings = [pd.concat([self.rows, *shuffled], ignore_index=True)]
        for seed in self.config.baseline_seeds:
            pairs = zip(self.replicates, self.replicate_rows, strict=True)
            of_seed = [rows for replicate, rows in pairs if replicate.baseline_seed == seed]
            trainings.append(pd.concat(of_seed, ignore_index=True))
        return PairedScores(self.config, trainings)

    def measured_tables(self) -> Tables:
        """Return the measured tables, joined over the data sets that have them."""
        parts: dict[str, list[pd.DataFrame]] = {}
        for measurement in self.measurements.values():
            for name, table in measurement.tables.items():
                parts.setdefault(name, []).append(table)
        return {name: pd.concat(tables, ignore_index=True) for name, tables in parts.items()}

    def common_tables(self) -> Tables:
        """Return the tables of every pruning study: the scale, and further baselines if any."""
        tables = {"scale": scale.table(self.name, self.experiments)}
        if self.replicate_rows:
            tables["baselines"] = score_tables.by_baseline(self.rows, self.replicate_rows)
        return tables

    @cached_property
    def baseline_accuracy(self) -> dict[str, float]:
        """The accuracy of the baseline on all test images in %, by data set."""
        return {e.dataset: e.baseline_accuracy for e in self.experiments}

    @property
    def too_weak(self) -> dict[str, str]:
        """The data sets whose baseline is too weak for any claim, with the reason."""
        return {
            spec.paper: f"{spec.paper}: the baseline's {self.baseline_accuracy[spec.paper]:.1f} % "
            f"are under the {spec.min_accuracy:g} % that claims need"
            for spec in self.config.datasets
            if self.baseline_accuracy[spec.paper] < spec.min_accuracy
        }

    def facts(self) -> dict[str, Any]:
        """Return the number of models, and the layers whose maps are read."""
        return {
            "models": sum(1 + len(e.variants) for e in self.trained_experiments),
            "target_layers": {e.dataset: e.target_layer for e in self.experiments},
        }

    def provenance(self) -> Mapping[str, str]:
        """Return the provenance of the test images and the scale, by data set, for captions."""
        return {e.dataset: f"{e.test.provenance}; {scale.phrase(e)}" for e in self.experiments}
