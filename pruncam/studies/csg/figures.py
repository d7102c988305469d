"""The figures of the CSG study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from pruncam.complexity import CSG
from pruncam.datasets import ImageSet
from pruncam.report.result import Drawing
from pruncam.studies.csg import charts, class_charts, diagrams
from pruncam.studies.csg.analysis import at_own_settings, of_raw_pixels
from pruncam.studies.csg.charts import RowPanel, RowValue, SpreadCurve
from pruncam.studies.csg.config import RAW, CsgConfig
from pruncam.studies.csg.experiment import SPLITS, CsgExperiment, mean_over_draws
from pruncam.studies.csg.overlap import OverlapRow
from pruncam.studies.csg.published import longest_values
from pruncam.studies.figures import made_at


@dataclass(frozen=True, kw_only=True)
class Figures:
    """All figures of a finished study.

    `csgs` are those of raw pixels by data set, one per draw; `overlaps` are the images to show, by
    data set; `stand_ins` are the data sets for which other images stand in, `names` those of all
    data sets in figures.
    """

    config: CsgConfig
    experiments: Sequence[CsgExperiment]
    tables: Mapping[str, pd.DataFrame]
    csgs: Mapping[str, list[CSG]]
    overlaps: Mapping[str, Sequence[OverlapRow]]
    stand_ins: Sequence[str]
    names: Mapping[str, str]

    def drawings(self) -> dict[str, Drawing]:
        """Return the figures by the paper's number or a name."""
        drawings = {
            "1": Drawing(
                diagrams.outline, "Complexity and pruning of the same data sets.", lines=True
            ),
            "method": Drawing(diagrams.steps, "From images to one number.", lines=True),
            **self._classes(),
            "eigenvalues": self._eigenvalues(),
            **self._overlaps(),
            "k_and_M": self._settings(),
            "pools": self._pools(),
        }
        if len(self.tables["distances"]):
            drawings["embeddings"] = self._embeddings()
        return drawings

    @property
    def _own_settings(self) -> str:
        return f"raw pixels, k = {self.config.k}, M = {self.config.samples_per_class}"

    def _ending(self, experiment: CsgExperiment) -> str:
        return made_at(self.config.profile, experiment.train.provenance)

    def _named(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return a table with the names of the images in the place of the data sets'."""
        return table.assign(dataset=table["dataset"].map(self.names))

    def _images_shown(self, experiment: CsgExperiment) -> str:
        """Return the name of the images, and of the data set that they stand in for."""
        title, _, _ = experiment.train.provenance.partition(" (")[0].partition(": ")
        if experiment.dataset not in self.stand_ins or title == experiment.dataset:
            return experiment.dataset
        return f"{title} (in the place of {experiment.dataset})"

    def _draws_shown(self, experiment: CsgExperiment) -> str:
        """Return how many draws of samples are averaged, in words."""
        if self.config.samples_per_class < int(experiment.class_counts("train").max()):
            return f"mean of {self.config.draws} draws of samples"
        return "every training image is a sample, one draw"

    @property
    def _ending_of_all(self) -> str:
        """The end of a caption for all data sets: profile and stand-ins."""
        replacements = [
            _replacement(e.dataset, e.train)
            for e in self.experiments
            if e.dataset in self.stand_ins
        ]
        if not replacements:
            return f"Profile {self.config.profile}."
        return f"Profile {self.config.profile}, stand-ins: {'; '.join(replacements)}."

    def _classes(self) -> dict[str, Drawing]:
        """Return the figure of the similarity of classes for every data set."""
        drawings = {}
        for experiment in self.experiments:
            names = experiment.train.classes
            similarity = mean_over_draws(self.csgs[experiment.dataset], "similarity")
            caption = (
                f"Which classes of {self._images_shown(experiment)} are alike: "
                f"{self._draws_shown(experiment)} ({self._own_settings}). "
                f"{self._ending(experiment)}"
            )
            draw = partial(class_charts.similarity_of_classes, similarity, names)
            drawings[f"classes_{experiment.dataset}"] = Drawing(draw, caption)
        return drawings

    def _eigenvalues(self) -> Drawing:
        spectra = {
            self.names[dataset]: mean_over_draws(draws, "eigenvalues")
            for dataset, draws in self.csgs.items()
        }
        caption = (
            "Eigenvalues of the Laplacian (left) and what CSG sums up from their gaps (right): a "
            "curve ends at CSG/(K-1). Training splits, means over the draws "
            f"({self._own_settings}). {self._ending_of_all}"
        )
        return Drawing(partial(class_charts.spectra, spectra), caption, lines=True)

    def _overlaps(self) -> dict[str, Drawing]:
        """Return the figure of images in the overlap for every data set that may be published."""
        drawings = {}
        for experiment in self.experiments:
            dataset = experiment.dataset
            if dataset not in self.overlaps:
                continue
            caption = (
                f"Training images of {self._images_shown(experiment)} with the most foreign "
                "neighbours, one of a class, and their nearest neighbours by raw pixels; classes "
                f"other than the image's own in orange. {self._ending(experiment)}"
            )
            draw = partial(_draw_overlap, self.overlaps[dataset])
            drawings[f"overlap_{dataset}"] = Drawing(draw, caption)
        return drawings

    def _settings(self) -> Drawing:
        caption = (
            f"CSG/(K-1) by k (left) and by M (right), else at {self._own_settings}; training "
            f"splits; bars: sd of one draw. {self._ending_of_all}"
        )
        draw = partial(_draw_settings, self.config, self._named(self.tables["settings"]))
        return Drawing(draw, caption, lines=True)

    def _pools(self) -> Drawing:
        caption = (
            "CSG/(K-1) against the images of a class among which neighbours are searched; dashed: "
            f"test splits; bars: sd ({self._own_settings}; of pools smaller than M every image is "
            f"a sample). {self._ending_of_all}"
        )
        draw = partial(_draw_pools, self._named(self.tables["pools"]))
        return Drawing(draw, caption, lines=True)

    def _embeddings(self) -> Drawing:
        config = self.config
        caption = (
            f"CSG of embeddings at k = {config.k}, M = {config.samples_per_class} beside the "
            'printed values; bars: sd over draws and trainings; "fewer" and all t-SNE: the first '
            f"{config.tsne_images:,} images, as CSG falls when their number grows. "
            f"{self._ending_of_all}"
        )
        draw = partial(_draw_embeddings, config, self.tables["distances"], self.names)
        return Drawing(draw, caption, lines=True)


def _replacement(dataset: str, images: ImageSet) -> str:
    """Return what stands in for a data set, in words: another set, or the same in another form."""
    origin = images.provenance.partition(" (")[0]
    title, _, form = origin.partition(": ")
    return f"{dataset} {form}" if title == dataset else f"{title} for {dataset}"


def _draw_overlap(overlaps: Sequence[OverlapRow]) -> Figure:
    names = [overlap.names for overlap in overlaps]
    other = [[name != row[0] for name in row] for row in names]
    return charts.image_rows([overlap.images for overlap in overlaps], names, other=other)


def _draw_settings(config: CsgConfig, settings: pd.DataFrame) -> Figure:
    """Draw CSG/(K-1) by k and by M."""
    raw = of_raw_pixels(settings)
    train = raw[raw["split"] == "train"]
    at_m = train[train["samples"] == config.samples_per_class]
    at_k = train[train["k"] == config.k]
    panels = {
        "k, neighbours of each sample": _curves_by_dataset(at_m, "k"),
        "M, samples of each class": _curves_by_dataset(at_k, "samples"),
    }
    return charts.curves(panels, ylabel="CSG / (K-1)")


def _draw_pools(pools: pd.DataFrame) -> Figure:
    """Draw CSG/(K-1) of every data set and split by the size of the pool."""
    curves = []
    for split in SPLITS:
        curves += _curves_by_dataset(pools[pools["split"] == split], "pool", split=split)
    curves = sorted(curves, key=lambda curve: charts.COLOURS.index(curve.colour))
    return charts.curves({"images of a class in the pool": curves}, ylabel="CSG / (K-1)")


def _curves_by_dataset(
    table: pd.DataFrame,
    column: str,
    *,
    split: str = "train",
) -> list[SpreadCurve]:
    """Return CSG/(K-1) by another column, a curve per data set."""
    curves = []
    styles = zip(charts.COLOURS, charts.MARKERS, strict=True)
    groups = table.groupby("dataset", sort=False)
    for (dataset, part), (colour, marker) in zip(groups, styles, strict=False):
        part = part[part["csg"] > 0].sort_values(column)  # the axis is logarithmic
        curve = SpreadCurve(
            name=dataset,
            x=part[column],
            y=part["relative"],
            spread=part["sd"] * part["relative"] / part["csg"],
            colour=colour,
            marker=marker,
            dashed=split == "test",
        )
        curves.append(curve)
    return curves


def _draw_embeddings(
    config: CsgConfig, distances: pd.DataFrame, names: Mapping[str, str]
) -> Figure:
    """Draw every embedding at the study's own k and M against the printed values."""
    table = at_own_settings(distances, config)
    volume = table["volume"].map({True: ", volume", False: ""})
    is_few = (table["embedding"] == RAW) & ~table["whole"]
    fewer = is_few.map({True: " (fewer)", False: ""})
    table = table.assign(row=table["embedding"] + volume + fewer)
    panels = {}
    for dataset in config.embedded or dict.fromkeys(table["dataset"]):
        of_dataset = table[table["dataset"] == dataset]
        if len(of_dataset):
            panels[names[dataset]] = _embedding_panel(dataset, of_dataset)
    return charts.values_by_row(panels, xlabel="CSG")


def _embedding_panel(dataset: str, table: pd.DataFrame) -> RowPanel:
    """Return the CSGs of a data set by embedding, and its printed values by split."""
    values = [
        RowValue(
            row.row,
            row.csg,
            row.sd,
            hollow=row.split == "test",
        )
        for row in table.drop_duplicates(["row", "split"]).itertuples()
    ]
    printed = longest_values()
    printed = printed[printed["dataset"] == dataset]
    levels = dict(zip(printed["split"], printed["value"], strict=True))
    return RowPanel(values, levels)
