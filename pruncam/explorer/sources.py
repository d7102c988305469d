"""Data sets to explore: those of finished studies, and one that is trained on demand."""

import dataclasses
import json
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor, nn

from pruncam import cams
from pruncam._core import paths
from pruncam._core.machine import Machine
from pruncam._core.progress import Progress
from pruncam._core.store import Step, Store, StoredResult
from pruncam._core.validation import PROFILES
from pruncam._nn.probe import profile_forward
from pruncam.datasets import DataError, ImageSet, catalog
from pruncam.explorer.pictures import Picture
from pruncam.profiles import DatasetSpec
from pruncam.studies import score_tables
from pruncam.studies.cached_trainer import CachedTrainer
from pruncam.studies.experiment import BASELINE, Experiment, Variant
from pruncam.studies.pe_score.study import PeScoreStudy
from pruncam.studies.sp2ps.config import Sp2psConfig
from pruncam.studies.sp2ps.study import Sp2psStudy
from pruncam.studies.study import PruningStudy

MAX_IMAGES = 100  # of a finished study's test images
MIN_CELLS = 6  # of the layer that is opened first, in height and in width
COARSE = 16  # cells: a finer heatmap would draw the outlines of an image that may not be shown
_TABLES = ("curves", "controls")  # of a saved result
_DIGITS = DatasetSpec(
    paper="handwritten digits",
    source="digits",
    size=32,
    width=12,
    weights="cifar-net-digits",
    target_layer="features.19",  # the ReLU of the last maps of 8x8, as of the generated scenes
)


Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class StudyKind:
    """A study whose models can be explored."""

    study: type[PruningStudy]
    pruning: str  # what pruning does to the network
    score: str  # the score of the study's curves
    rate_label: str  # of the x-axis of the curves


STUDIES: Mapping[str, StudyKind] = {
    "sp2ps": StudyKind(
        study=Sp2psStudy,
        pruning="weights set to zero",
        score="sp2ps",
        rate_label="weights set to zero, %",
    ),
    "pe_score": StudyKind(
        study=PeScoreStudy,
        pruning="filters removed",
        score="pe",
        rate_label="filters removed in every layer, %",
    ),
}


@dataclass(frozen=True)
class UnloadedImages:
    """Images of a finished study that are not in memory: their checksum identifies its models."""

    checksum: str


@dataclass(frozen=True, eq=False)
class StudySource:
    """A data set of a study: test images, models and score curves, loaded when first used.

    The user's `pictures` come after the test images.
    """

    study: str
    profile: str
    lazy_experiment: Experiment  # its images may be `UnloadedImages`
    lazy_tables: Tables | Callable[[], Tables]  # the study's "curves" and "controls"
    data_dir: str | None = None
    pictures: list[Picture] = field(default_factory=list, init=False, repr=False)
    _cache: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def kind(self) -> StudyKind:
        """Return the kind of study."""
        return STUDIES[self.study]

    @property
    def spec(self) -> DatasetSpec:
        """Return the data set's entry in the configuration."""
        return self.lazy_experiment.spec

    @property
    def title(self) -> str:
        """Return the name of the source in the list of data sets."""
        size = f"{self.spec.size}x{self.spec.size}"
        origin = f"{self.study}, profile {self.profile}"
        return f"{self.spec.source}, {size}: {self.kind.pruning} ({origin})"

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Return study, profile, images and their size, which no other source has."""
        return self.study, self.profile, self.spec.source, str(self.spec.size)

    @cached_property
    def tables(self) -> Tables:
        """Return the study's tables "curves" and "controls"."""
        return self.lazy_tables() if callable(self.lazy_tables) else self.lazy_tables

    @cached_property
    def experiment(self) -> Experiment:
        """Return the models, and the test images that can be selected.

        Raises DataError if a file has been removed or damaged since the source was created.
        """
        if isinstance(self.lazy_experiment.test, ImageSet):
            _ = self.tables  # trains, in parallel, the models that are not stored
            return self.lazy_experiment
        images = catalog.load(self.spec.source, "test", data_dir=self.data_dir, at_most=MAX_IMAGES)
        device = self.lazy_experiment.trainer.device
        test = images.as_rgb().resized(self.spec.size).to(device)
        return dataclasses.replace(self.lazy_experiment, test=test)

    @property
    def rules(self) -> tuple[str, ...]:
        """Return the pruning rules."""
        return tuple(self.lazy_experiment.rules)

    @property
    def rates(self) -> tuple[float, ...]:
        """Return the pruning rates; 0 is the unpruned network."""
        return (0.0, *self.lazy_experiment.config.rates)

    @property
    def methods(self) -> tuple[str, ...]:
        """Return the CAM methods of the study."""
        return self.lazy_experiment.config.methods

    @cached_property
    def layers(self) -> dict[str, tuple[int, int]]:
        """Return the target layers by name with the size of their maps, (height, width).

        They are the readings of the network (`cams.readings`), the layer that is opened first and
        the layer of the study. Layers with fine maps are left out if an image may not be shown.
        """
        test = self.experiment.test
        is_public = all(test.credit(index) is not None for index in range(len(test)))
        finest = test.images.shape[-1] if is_public else COARSE
        profile = profile_forward(self.experiment.baseline, self._first_input)
        sizes = {}
        for call in reversed(profile.calls):  # the first call of a layer is the last one here
            if call.name in self._layer_labels:
                sizes[call.name] = call.map_size
        return {name: sizes[name] for name in self._layer_labels if max(sizes[name]) <= finest}

    @cached_property
    def _layer_labels(self) -> dict[str, str]:
        """The target layers by name, each with a plain label."""
        baseline = self.experiment.baseline
        readings = cams.readings(baseline, self._first_input)
        labels = {name: label for label, name in readings.items()}
        labels.setdefault(self._last_fair_layer, "last layer of this size")
        labels.setdefault(self.study_layer, "layer of the study")
        return labels

    @property
    def _first_input(self) -> Tensor:
        return self.experiment.network_input(self.experiment.test.images[:1])

    @cached_property
    def _last_fair_layer(self) -> str:
        """The last layer with maps of at least 6x6 cells."""
        baseline = self.experiment.baseline
        return cams.default_layer(baseline, self._first_input, min_cells=MIN_CELLS)

    @property
    def first_layer(self) -> str:
        """Return the name of the layer that is opened first.

        This is the last one with maps of at least 6x6 cells, or the layer of the study if those
        maps are too fine to be shown.
        """
        fair = self._last_fair_layer
        return fair if fair in self.layers else self.study_layer

    @cached_property
    def study_layer(self) -> str:
        """Return the name of the layer of the study's curves."""
        return self.experiment.target_layer

    @property
    def image_count(self) -> int:
        """Return the number of images that can be selected, the user's pictures included."""
        return len(self.experiment.test) + len(self.pictures)

    def picture(self, image: int) -> Picture | None:
        """Return the user's picture of this number; None for a test image."""
        number = image - len(self.experiment.test)
        return self.pictures[number] if number >= 0 else None

    def pixels(self, image: int) -> Tensor:
        """Return the pixels of an image, uint8 (3, H, W), on the device of the models."""
        picture = self.picture(image)
        if picture is None:
            return self.experiment.test.images[image]
        size = self.experiment.test.shape[-1]
        return picture.pixels(size).to(self.experiment.trainer.device)

    def credit(self, image: int) -> str | None:
        """Return the author to name beneath an image; None if it may not be shown."""
        is_own = self.picture(image) is not None
        return "" if is_own else self.experiment.test.credit(image)

    def label(self, image: int) -> str:
        """Return the class of an image; empty for the user's picture."""
        test = self.experiment.test
        return test.classes[int(test.labels[image])] if image < len(test) else ""

    def file(self, image: int) -> str:
        """Return the name of the file of the user's picture; empty for a test image."""
        picture = self.picture(image)
        return "" if picture is None else picture.name

    def layer_text(self, name: str) -> str:
        """Return a layer in words: its label, the size of its maps, its name."""
        height, width = self.layers[name]
        label = self._layer_labels[name].partition(",")[0]
        return f"{label}, {height} x {width} cells ({name})"

    def cached(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """Return `compute()`, computed at the first call with this key."""
        if key not in self._cache:
            self._cache[key] = compute()
        return self._cache[key]

    def model(self, rule: str, rate: float) -> nn.Module:
        """Return the model of the rule's first seed; at rate 0 the unpruned network."""
        if not rate:
            return self.experiment.baseline
        seed = self.experiment.rules[rule][0]
        return self.experiment.model(Variant(rule, rate, seed))

    def curve_point(self, rule: str, rate: float, method: str) -> pd.Series:
        """Return the row of the study's curves at a rate."""
        curves = self.tables["curves"]
        of_rule = (curves["dataset"] == self.spec.paper) & (curves["rule"] == rule)
        of_rate = (curves["rate"] == rate) & (curves["method"] == method)
        return curves[of_rule & of_rate].iloc[0]


class ReadOnlyStore(Store):
    """A store that never recomputes a result."""

    def get(
        self, step: Step, make: Callable[[], Any], use: Callable[[Any], object] | None = None
    ) -> StoredResult:
        """Return the stored result; raise DataError if it cannot be read."""

        def fail() -> None:
            name = self.path(step).name
            raise DataError(f"the stored model {name} is missing or damaged: run its study again")

        return super().get(step, fail, use)


def quick_source(machine: Machine, progress: bool = True) -> StudySource:
    """Return the first data set of sp2ps in the profile quick, with its models.

    It needs no download. Models and scores that are not in the store are computed, which takes some
    ten seconds on two cores.
    """
    config = Sp2psStudy.configure("quick")
    source = _computed_source(config, config.datasets[0], machine, progress)
    _ = source.tables
    return source


def digits_source(machine: Machine) -> StudySource:
    """Return handwritten digits, pruned as the data sets of sp2ps in the profile quick are.

    They need no download. Models and scores that are not in the store are computed when the source
    is first used.
    """
    return _computed_source(Sp2psStudy.configure("quick"), _DIGITS, machine, progress=False)


def _computed_source(
    config: Sp2psConfig, spec: DatasetSpec, machine: Machine, progress: bool
) -> StudySource:
    """Return a data set of sp2ps whose tables are computed when first used."""
    config = dataclasses.replace(config, datasets=(spec,))
    study = Sp2psStudy(config, machine=machine, progress=progress)
    experiment = study.load_experiment(spec)
    return StudySource("sp2ps", "quick", experiment, partial(_compute, study, experiment))


def _compute(study: Sp2psStudy, experiment: Experiment) -> Tables:
    """Train the models that are not stored, and return the tables of their scores."""
    variants = [partial(experiment.model, variant) for variant in experiment.trained_variants]
    study.progress.expect(experiment.epochs)
    try:
        study.run_in_parallel([partial(getattr, experiment, "baseline"), *variants])
        rows = experiment.scores()
    finally:
        study.progress.close()
    models = score_tables.accuracies(study.config, rows)
    return {
        "curves": score_tables.curves(study.config, rows, models),
        "controls": score_tables.controls(rows),
    }


def finished_sources(machine: Machine) -> list[StudySource]:
    """Return the data sets of saved results whose models are all stored and whose images exist."""
    sources = []
    for profile in PROFILES:
        for study in STUDIES:
            saved = _read_saved_result(paths.figures_folder(profile) / study)
            if saved is not None:
                sources += _sources_of(study, profile, saved, machine)
    return sources


def _read_saved_result(folder: Path) -> dict[str, Any] | None:
    """Return manifest and curves of a saved result; None if there is no readable one."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        tables = {name: pd.read_csv(folder / f"table_{name}.csv") for name in _TABLES}
        return {"config": manifest["config"], "data": manifest["data"], "tables": tables}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _sources_of(
    study: str, profile: str, saved: dict[str, Any], machine: Machine
) -> list[StudySource]:
    """Return the sources of one saved result."""
    study_class = STUDIES[study].study
    config = study_class.configure(profile)
    # A result of other settings belongs to other models.
    if json.loads(json.dumps(dataclasses.asdict(config))) != saved["config"]:
        return []
    progress = Progress("explorer", "epoch", show=False)
    trainer = CachedTrainer(ReadOnlyStore(), machine.torch_device, progress)
    sources = []
    for spec in config.datasets:
        train = _recorded_training_images(saved["data"], spec)
        if train is None or not catalog.find(spec.source, machine.data_dir):
            continue
        experiment = study_class.experiment_class(config, spec, train, UnloadedImages(""), trainer)
        if _all_stored(experiment):
            source = StudySource(study, profile, experiment, saved["tables"], machine.data_dir)
            sources.append(source)
    return sources


def _recorded_training_images(
    records: list[dict[str, Any]], spec: DatasetSpec
) -> UnloadedImages | None:
    """Return the training images of a data set as a manifest records them."""
    for record in records:
        if (record["name"], record["split"]) == (spec.source, "train"):
            return UnloadedImages(record["sha256"])
    return None


def _all_stored(experiment: Experiment) -> bool:
    """Return whether the baseline and the first seed of every rule and rate are in the store."""
    variants = [] if experiment.is_shipped else [BASELINE]
    for rule in experiment.rules:
        variants += experiment.of_rule(rule)
    store = experiment.trainer.store
    return all(store.path(experiment.step(variant)).is_file() for variant in variants)
