"""The figures of the CSG study."""

from collections.abc import Mapping, Sequence
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from pruncam.complexity import CSG
from pruncam.datasets import ImageSet
from pruncam.report import diagrams_csg, plots_csg
from pruncam.report.plots_csg import Curve, Mark
from pruncam.report.result import Drawing
from pruncam.studies.csg import printed
from pruncam.studies.csg.collection import mean_of
from pruncam.studies.csg.config import RAW, Config
from pruncam.studies.csg.overlap import Overlap


def drawings(
    config: Config,
    tables: Mapping[str, pd.DataFrame],
    measured: Mapping[str, list[CSG]],
    shown: Mapping[str, Sequence[Overlap]],
    data: Mapping[str, ImageSet],
    stand_ins: Sequence[str],
) -> dict[str, Drawing]:
    """Every figure of the study; `data` has the training split behind each of the papers' data sets.

    `stand_ins` are those whose pixels are not the publisher's.
    """
    where = {half: f"Profile {config.profile}, {images.provenance}." for half, images in data.items()}
    own = f"raw pixels, k = {config.k}, M = {config.samples_per_class}"
    replaced = "; ".join(_replacement(half, data[half]) for half in stand_ins)
    profile = f"Profile {config.profile}" + (f", stand-ins: {replaced}." if replaced else ".")
    found = {
        "1": Drawing(diagrams_csg.outline, "Complexity and pruning of the same data sets.", lines=True),
        "method": Drawing(diagrams_csg.steps, "From pictures to one number.", lines=True),
    }
    for half, draws in measured.items():
        draw = partial(plots_csg.classes, mean_of(draws, "similarity"), data[half].classes)
        caption = f"Which classes of {half} are alike: mean of {len(draws)} draws ({own}). {where[half]}"
        found[f"classes_{half}"] = Drawing(draw, caption)
    spectra = {half: mean_of(draws, "eigenvalues") for half, draws in measured.items()}
    found["eigenvalues"] = Drawing(
        partial(plots_csg.spectra, spectra),
        f"Eigenvalues of the Laplacian (left) and what CSG sums up from their gaps (right): a curve ends at CSG/(K-1). "
        f"Training splits, means over the draws ({own}). {profile}",
        lines=True,
    )
    for half, overlaps in shown.items():
        caption = (
            f"Training pictures of {half} with the most foreign neighbours, one of a class, and their nearest ones "
            f"by raw pixels; classes other than the picture's own in orange. {where[half]}"
        )
        found[f"overlap_{half}"] = Drawing(partial(_overlap, overlaps), caption)
    found["k_and_M"] = Drawing(
        partial(_settings, config, tables["settings"]),
        f"CSG over its value at {own}, by k (left) and by M (right), training splits; bars: sd of one draw. " + profile,
        lines=True,
    )
    found["pools"] = Drawing(
        partial(_pools, tables["pools"]),
        "CSG/(K-1) against the images of a class among which neighbours are searched; dashed: test splits; bars: "
        f"sd ({own}; of pools smaller than M every image is a sample). {profile}",
        lines=True,
    )
    if len(tables["distances"]):
        found["embeddings"] = Drawing(
            partial(_embeddings, config, tables["distances"]),
            f"CSG of embeddings at k = {config.k}, M = {config.samples_per_class}, full for train, hollow for test; "
            'bars: sd over draws and trainings; "fewer" and all t-SNE: the first '
            f"{config.tsne_images:,} images, for CSG falls as their number grows; "
            "orange: printed values (full: split not stated, dashed: train, dotted: test). " + profile,
            lines=True,
        )
    return found


def _replacement(half: str, images: ImageSet) -> str:
    """What stands in for a data set, in words: another set, or the same in another form."""
    title, _, form = images.provenance.partition(" (")[0].partition(": ")
    return f"{half} {form}" if title == half else f"{title} for {half}"


def _overlap(overlaps: Sequence[Overlap]) -> Figure:
    names = [overlap.names for overlap in overlaps]
    other = [[name != row[0] for name in row] for row in names]
    return plots_csg.beside([overlap.pictures for overlap in overlaps], names, other=other)


def _settings(config: Config, table: pd.DataFrame) -> Figure:
    """CSG relative to the study's own settings, by k and by M."""
    table = table[(table["embedding"] == RAW) & table["whole"] & (table["split"] == "train")]
    halves = list(dict.fromkeys(table["half"]))
    panels = {}
    for label, column, fixed in (
        ("k, neighbours of each sample", "k", table["samples"] == config.samples_per_class),
        ("M, samples of each class", "samples", table["k"] == config.k),
    ):
        panels[label] = []
        for half, colour in zip(halves, plots_csg.COLOURS, strict=False):
            part = table[fixed & (table["half"] == half)].sort_values(column)
            base = part.loc[part[column] == {"k": config.k, "samples": config.samples_per_class}[column], "csg"].iloc[0]
            if base > 0:
                panels[label].append(Curve(half, part[column], part["csg"] / base, part["sd"] / base, colour))
    return plots_csg.curves(panels, ylabel="CSG, share of the study's own")


def _pools(table: pd.DataFrame) -> Figure:
    """CSG/(K-1) of every data set and split by the size of the pool."""
    curves = []
    for half, colour in zip(dict.fromkeys(table["half"]), plots_csg.COLOURS, strict=False):
        for split in ("train", "test"):
            part = table[(table["half"] == half) & (table["split"] == split)]
            scale = part["relative"] / part["csg"].where(part["csg"] > 0)
            curves.append(Curve(half, part["pool"], part["relative"], part["sd"] * scale, colour, split == "test"))
    return plots_csg.curves({"images of a class in the pool": curves}, ylabel="CSG / (K-1)", log=True)


def _embeddings(config: Config, table: pd.DataFrame) -> Figure:
    """Every embedding at the study's own k and M against the printed values."""
    table = table[(table["k"] == config.k) & (table["samples"] == config.samples_per_class)]
    names = table["embedding"] + table["volume"].map({True: ", volume", False: ""})
    few = (table["embedding"] == RAW) & ~table["whole"]
    table = table.assign(row=names + few.map({True: " (fewer)", False: ""}))
    panels = {}
    for half in config.embedded or list(dict.fromkeys(table["half"])):
        part = table[table["half"] == half]
        marks = [
            Mark(r.row, r.csg, r.sd, r.split == "test") for r in part.drop_duplicates(["row", "split"]).itertuples()
        ]
        levels = {row.split: row.value for row in printed.longest(half).itertuples()}
        if marks:
            panels[half] = (marks, levels)
    return plots_csg.against_levels(panels, xlabel="CSG")
