"""The phases of the CSG study."""

from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd

from pruncam._core.machine import Machine
from pruncam.datasets import ImageSet, catalog
from pruncam.profiles import DatasetSpec
from pruncam.report.claims import Finding, read_statements
from pruncam.report.result import Drawing
from pruncam.studies.csg import analysis, claims, class_tables, pool_tables, published, work
from pruncam.studies.csg.config import RAW, CsgConfig
from pruncam.studies.csg.embedder import View
from pruncam.studies.csg.experiment import SPLITS, CsgExperiment
from pruncam.studies.csg.figures import Figures
from pruncam.studies.csg.overlap import overlap_rows
from pruncam.studies.csg.ranking import nearest_settings
from pruncam.studies.csg.raw_draws import RawDraws
from pruncam.studies.original_data import shown_name
from pruncam.studies.study import Study, StudyResult, Tables, Task
from pruncam.studies.work import Work


class CsgStudy(Study[CsgConfig]):
    """The complexity of the papers' data sets, and what the number depends on.

    Everything runs on the CPU, whatever the machine's device.
    """

    name = "csg"
    config_class = CsgConfig
    progress_unit = "image"

    def __init__(
        self,
        config: CsgConfig,
        *,
        machine: Machine | None = None,
        progress: bool = True,
    ):
        machine = machine or Machine()
        super().__init__(config, machine=replace(machine, device="cpu"), progress=progress)

    def load(self) -> None:
        """Load every data set, or what stands in for it."""
        specs = [self.available(spec) for spec in self.config.datasets]
        self.experiments = [self._load_experiment(spec) for spec in specs]

    def available(self, spec: DatasetSpec) -> DatasetSpec:
        """Return the data set itself, or the first of its stand-ins whose files exist.

        If there are no files at all, the data set itself, so that the error names it.
        """
        stand_ins = [other for other in self.config.stand_ins if other.paper == spec.paper]
        for candidate in (spec, *stand_ins):
            if catalog.find(candidate.source, self.machine.data_dir):
                return candidate
        return spec

    @property
    def shown_names(self) -> dict[str, str]:
        """The names of the images that were loaded, which may stand in for others."""
        return {e.dataset: shown_name(e.dataset, e.test.name) for e in self.experiments}

    def _load_experiment(self, spec: DatasetSpec) -> CsgExperiment:
        return CsgExperiment(
            config=self.config,
            dataset=spec.paper,
            train=self._load_split(spec, "train"),
            test=self._load_split(spec, "test"),
            trainer=self.new_trainer(),
        )

    def _load_split(self, spec: DatasetSpec, split: str) -> ImageSet:
        images = catalog.load(spec.source, split, data_dir=self.machine.data_dir)
        return images if spec.size is None else images.resized(spec.size)

    def stages(self) -> list[list[Task]]:
        """Return the tasks: networks of the embeddings, searches and pools, shuffled labels."""
        networks = [
            partial(experiment.embedder.train_network, *network)
            for experiment in self.experiments
            for network in experiment.trained_networks
        ]
        raw, embedded = [], []
        for experiment, view in self._largest_views_first():
            tasks = raw if view.embedding == RAW else embedded
            tasks.append(partial(experiment.draws, view))
        pools = [partial(e.pool, *pool) for e in self.experiments for pool in e.pools]
        pools += [
            partial(experiment.pool, *pool, labels="shuffled")
            for experiment in self.experiments
            for pool in experiment.shuffled_pools
        ]
        shuffled = [partial(e.shuffled_draws, split) for e in self.experiments for split in SPLITS]
        return [networks, [*raw, *pools, *embedded], shuffled]

    def train(self) -> None:
        """Train the networks of the embeddings."""
        self.progress.expect(sum(experiment.searched_images for experiment in self.experiments))
        networks, *_ = self.stages()
        self.run_in_parallel(networks)

    def measure(self) -> None:
        """Search neighbours, draw samples and pools, and choose the images to show."""
        _, searches, shuffled = self.stages()
        self.run_in_parallel(searches)
        self.run_in_parallel(shuffled)
        self.csgs, self.csgs_of_all, self.overlaps = {}, {}, {}
        for experiment in self.experiments:
            dataset = experiment.dataset
            self.csgs[dataset] = experiment.raw_csgs("train")
            self.csgs_of_all[dataset] = experiment.csg_of_all("train")
            if experiment.train.showable:
                self.overlaps[dataset] = overlap_rows(experiment)

    def _largest_views_first(self) -> list[tuple[CsgExperiment, View]]:
        """Return all views in such an order that no core waits for a long one at the end."""
        views = [(experiment, view) for experiment in self.experiments for view in experiment.views]
        return sorted(views, key=_pixels_of, reverse=True)

    def work(self) -> list[Work]:
        """Return the steps of all trainings, searches and pools."""
        return work.of_experiments(self.experiments)

    def tables(self) -> Tables:
        """Return the tables by name; "complexity_1" and "pe_3" are those of the papers."""
        config, experiments = self.config, self.experiments
        draws = analysis.draws(experiments)
        self.raw_draws = analysis.of_raw_pixels(draws)
        self.shuffled_draws = analysis.shuffled_draws(experiments)
        settings = analysis.settings(draws)
        sets = analysis.sets(config, settings, self.shuffled_draws, experiments)
        distances = published.distances(settings)
        classes = {e.dataset: e.train.classes for e in experiments}
        datasets = config.embedded or tuple(classes)
        return {
            "complexity_1": published.table_1(sets),
            "pe_3": published.table_3(sets),
            "published": published.numbers_beside_ours(sets),
            "sets": sets,
            "pools": pool_tables.pools(experiments, sets),
            "gaps": pool_tables.gaps(config, self.raw_draws, experiments),
            "settings": settings,
            "draws": pool_tables.draws(self.raw_draws, self.shuffled_draws, experiments),
            "distances": distances,
            "nearest": nearest_settings(distances, datasets, config.tsne_images),
            "agreement": published.agreement(config, distances),
            "confused": class_tables.confused(self.csgs, classes),
            "classes": class_tables.by_class(self.csgs_of_all, classes),
        }

    def findings(self, tables: Tables) -> dict[str, Finding]:
        """Return the findings on claims C3 and C7."""
        return claims.findings(
            read_statements(self.name),
            self._with_pools(self.raw_draws, "own"),
            self._with_pools(self.shuffled_draws, "shuffled"),
        )

    def _with_pools(self, table: pd.DataFrame, labels: str) -> RawDraws:
        """Return draws with "own" or "shuffled" labels, beside them those of pools of one size."""
        draws = RawDraws(self.config, table)
        pools = {}
        for experiment in self.experiments:
            whole = {split: draws.values(experiment.dataset, split) for split in SPLITS}
            equal_pools = pool_tables.equal_pools(experiment, whole, labels=labels)
            if equal_pools is not None:
                pools[experiment.dataset] = equal_pools
        return replace(draws, pools=pools)

    def figures(self, tables: Tables) -> dict[str, Drawing]:
        """Return Figure 1 of the complexity paper, and those beyond it."""
        figures = Figures(
            config=self.config,
            experiments=self.experiments,
            tables=tables,
            csgs=self.csgs,
            overlaps=self.overlaps,
            stand_ins=self.stand_ins,
            names=self.shown_names,
        )
        return figures.drawings()

    def stable_lines(self, tables: Tables) -> list[str]:
        """Return the CSG of all training images of every data set."""
        names = self.shown_names
        lines = []
        for experiment in self.experiments:
            images = f"all {len(experiment.train):,} training images"
            csg = self.csgs_of_all[experiment.dataset].value
            lines.append(f"{names[experiment.dataset]}: CSG of {images} {csg:.2f}")
        return lines

    def facts(self) -> dict[str, Any]:
        """Return the number of searches."""
        return {"searches": sum(len(experiment.views) for experiment in self.experiments)}


def _pixels_of(pair: tuple[CsgExperiment, View]) -> int:
    """Return the number of pixels of all images of a view."""
    experiment, view = pair
    return view.images * experiment.train.images[0].numel()


def configure(profile: str, **overrides: Any) -> CsgConfig:
    """Return the configuration of a profile ("quick", "overnight", "paper") with overrides."""
    return CsgStudy.configure(profile, **overrides)


def run(
    config: CsgConfig,
    progress: bool = True,
    *,
    machine: Machine | None = None,
) -> StudyResult:
    """Run the study; see `Study.run`."""
    return CsgStudy(config, machine=machine, progress=progress).run()
