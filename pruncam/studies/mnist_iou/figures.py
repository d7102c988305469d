"""The figures of the MNIST IoU study, by the thesis's numbers, and those beyond it."""

import math
from collections.abc import Mapping
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from pruncam.report import plots
from pruncam.report.result import Drawing
from pruncam.studies.figures import made_at
from pruncam.studies.mnist_iou import charts, diagrams
from pruncam.studies.mnist_iou.analysis import BASE, WORKING, rows_of, working
from pruncam.studies.mnist_iou.chains import Chains, mean_correlation
from pruncam.studies.mnist_iou.charts import Curve
from pruncam.studies.mnist_iou.config import MnistIouConfig
from pruncam.studies.mnist_iou.cuts import ALL_SEEDS, THESIS_SEEDS
from pruncam.studies.mnist_iou.samples import DigitSample, DigitSamples

_LATE = 10  # the level of Figure 4.1
_GALLERY_LEVELS = (0, 5, 8, 10, 12, 15, 17, 20)
_ACCURACY = {
    "accuracy_noisy": Curve("accuracy on noisy images", plots.BLUE, "o"),
    "accuracy_clean": Curve("on clean images", plots.GREEN, "^", dashed=True),
}
_INVERTED = (
    "The first test image whose heatmap is inverted at level 0 (weaker on the digit than around it)"
)
_NONE_INVERTED = (
    "The first test image of class {label}, as no heatmap is inverted at level 0 (weaker on the "
    "digit than around it)"
)
_IOU = {"iou": Curve("IoU of heatmap and image", plots.ORANGE, "s")}
_CONTROL_PANELS = {
    "soft IoU": {
        "iou": Curve("own image", plots.ORANGE, "s"),
        "iou_other_image": Curve("another image", plots.GREY, "o"),
    },
    "all heatmap pixels": {
        "heatmap_mean": Curve("mean", plots.GREEN, "o"),
        "heatmap_std": Curve("standard deviation", plots.PURPLE, "^"),
    },
    "share of heatmaps": {
        "inverted": Curve("inverted", plots.BLUE, "o"),
        "empty": Curve("empty", plots.GREY, "^"),
    },
}

_READING_PANELS = {
    "iou": "soft IoU",
    "iou_with_level_0": "IoU with the unpruned network's heatmap",
    "empty": "share of empty heatmaps",
}
_DATASET_PANELS = {
    "accuracy_noisy": "accuracy, %",
    "iou": "soft IoU",
    "empty": "share of empty heatmaps",
}


def drawings(
    config: MnistIouConfig,
    tables: Mapping[str, pd.DataFrame],
    samples: DigitSamples,
    provenance: str,
) -> dict[str, Drawing]:
    """Return all figures; `provenance` describes the images, for captions."""
    by_level, levels = tables["figure_3_1"], tables["levels"]
    ending = made_at(config.profile, provenance)
    figures = _diagrams(config)
    label = samples.eight.label
    caption = f"The first test image of class {label} that has a heatmap, at full density. {ending}"
    figures["2.4"] = _triptych(samples.eight, 0, caption)
    figures |= _curves(config, by_level, ending)
    inverted = _INVERTED if samples.has_inverted else _NONE_INVERTED.format(label=label)
    if config.levels >= _LATE:
        caption = f"{inverted}, here at level {_LATE}. {ending}"
        figures["4.1"] = _triptych(samples.inverted, _LATE, caption)
    figures["4.2"] = _triptych(samples.inverted, 0, f"{inverted}, at level 0. {ending}")
    first_seed = rows_of(levels, BASE, config.seeds[:1])
    figures["scatter"] = _scatter(config, by_level, levels, ending)
    figures["control"] = _control(config, tables["figure_control"], ending)
    figures["gallery"] = _gallery(first_seed, samples.by_class, config.seeds[0], ending)
    figures["readings"] = _readings(config, tables["readings"], ending)
    figures["cuts"] = _cuts(config, tables["cuts"], ending)
    if config.more_seeds:
        figures["seeds"] = _seeds(config, levels, tables["seeds"], ending)
    if config.other_datasets:
        figures["datasets"] = _datasets(tables["figure_datasets"], ending)
    return figures


def _diagrams(config: MnistIouConfig) -> dict[str, Drawing]:
    """Return Figures 2.1 to 2.3."""
    return {
        "2.1": Drawing(
            diagrams.convolution,
            "A convolution: each number of the feature map is the sum of the products of kernel "
            "and window.",
            lines=True,
        ),
        "2.2": Drawing(
            partial(diagrams.mnist_network, config.target_layer),
            "The network: 2,324 weights that may be pruned, and the layer of its heatmap.",
            lines=True,
        ),
        "2.3": Drawing(
            partial(diagrams.lottery_pipeline, config.levels),
            "Iterative pruning with rewinding.",
            lines=True,
        ),
    }


def _triptych(sample: DigitSample, level: int, caption: str) -> Drawing:
    """Return a figure of an image, its noisy copy and its heatmap at a level."""
    title = (
        f"test image {sample.index}, class {sample.label}: "
        f"IoU {sample.iou[level]:.2f} at level {level}"
    )
    draw = partial(
        charts.triptych,
        sample.image,
        sample.noisy,
        sample.maps[level],
        titles=("image", "with noise", "heatmap"),
        title=title,
    )
    return Drawing(draw, caption)


def _curves(
    config: MnistIouConfig,
    by_level: pd.DataFrame,
    ending: str,
) -> dict[str, Drawing]:
    """Return Figures 3.1 and 3.2."""
    bands = f"Means of {len(config.seeds)} seeds, bands one standard deviation. {ending}"
    return {
        "3.1": Drawing(
            partial(_draw_over_levels, by_level),
            f"Accuracy and IoU at each pruning level. {bands}",
            lines=True,
        ),
        "3.2": Drawing(
            partial(_draw_over_density, by_level),
            f"The same against density: most levels crowd near zero. {bands}",
            lines=True,
        ),
    }


def _draw_over_levels(by_level: pd.DataFrame) -> Figure:
    labels = ("pruning level (weights remaining, %)", "accuracy, %", "soft IoU")
    figure = charts.two_scales(
        by_level,
        "level",
        _ACCURACY,
        _IOU,
        labels=labels,
    )
    step = 2 if len(by_level) > 14 else 1
    labelled = by_level.iloc[::step]
    ticks = [f"{row.level:.0f}\n{100 * row.density:.3g}" for row in labelled.itertuples()]
    figure.axes[0].set_xticks(labelled["level"], ticks, fontsize=7)
    return figure


def _draw_over_density(by_level: pd.DataFrame) -> Figure:
    table = by_level.assign(percent=100 * by_level["density"])
    labels = ("density, % of weights remaining", "accuracy, %", "soft IoU")
    return charts.two_scales(
        table,
        "percent",
        _ACCURACY,
        _IOU,
        labels=labels,
    )


def _scatter(
    config: MnistIouConfig,
    by_level: pd.DataFrame,
    levels: pd.DataFrame,
    ending: str,
) -> Drawing:
    caption = (
        "IoU against accuracy, a point per level. Left all levels, right those that still work: "
        "a few points at chance level can make any correlation. In the corner, the correlations of "
        f"these means of {len(config.seeds)} seeds (r, and by rank) and the mean of the "
        f"correlations of {len(config.all_seeds)} single seeds with its 95 % interval. {ending}"
    )
    chains = Chains(rows_of(levels, BASE, config.all_seeds))
    return Drawing(partial(_draw_scatter, by_level, chains), caption, lines=True)


def _draw_scatter(by_level: pd.DataFrame, chains: Chains) -> Figure:
    panels = {"all levels": (by_level, 0.0)}
    working_levels = working(by_level)
    if len(working_levels):
        panels[f"accuracy above {WORKING:.0f} %"] = (working_levels, WORKING)
    notes = {
        title: _note(table, chains, cut)
        for title, (table, cut) in panels.items()
        if len(table) >= 5
    }
    return charts.scatter(
        {title: table for title, (table, _) in panels.items()},
        "accuracy_noisy",
        "iou",
        labels=("accuracy on noisy images, %", "soft IoU"),
        colour_by=("level", "level"),
        notes=notes,
    )


def _note(table: pd.DataFrame, chains: Chains, cut: float) -> str:
    """Return the correlations of IoU and accuracy, in words."""
    pearson = table["iou"].corr(table["accuracy_noisy"])
    spearman = table["iou"].corr(table["accuracy_noisy"], method="spearman")
    single = mean_correlation(chains.correlations(above=cut))
    note = f"r = {pearson:.2f}, n = {len(table)}\nby rank: {spearman:.2f}"
    if math.isnan(single.low):
        return note
    return f"{note}\nsingle seeds: {single.text(2)}"


def _control(config: MnistIouConfig, by_level: pd.DataFrame, ending: str) -> Drawing:
    caption = (
        "Other things that change with pruning: IoU with the heatmap's own image and with another "
        "one, mean and spread of the heatmap, shares of inverted and empty heatmaps. Means of "
        f"{len(config.all_seeds)} seeds, bands one standard deviation. {ending}"
    )
    draw = partial(charts.small_curves, _CONTROL_PANELS, by_level, "level", xlabel="pruning level")
    return Drawing(draw, caption, lines=True)


def _gallery(
    levels: pd.DataFrame,
    samples: list[DigitSample],
    seed: int,
    ending: str,
) -> Drawing:
    """Return a figure with a column per digit and a row per level of one run."""
    caption = (
        "One digit of each class and its heatmap as the network gets sparser: the share of weights "
        "that is left, and of the test images that it gets right. Each heatmap is scaled to its "
        "own maximum; one without positive evidence is empty. Levels at which all of them are "
        f"empty are left out. Accuracies with a 95 % interval over images. Seed {seed}. {ending}"
    )
    return Drawing(partial(_draw_gallery, levels, samples), caption)


def _draw_gallery(levels: pd.DataFrame, samples: list[DigitSample]) -> Figure:
    some_levels = levels[levels["level"].isin(_GALLERY_LEVELS)]
    rows = [[sample.image for sample in samples], [sample.noisy for sample in samples]]
    labels = ["image", "with noise"]
    for row in some_levels.itertuples():
        maps = [sample.maps[row.level] for sample in samples]
        if row.level > 0 and all(plots.is_empty(heatmap) for heatmap in maps):
            continue
        rows.append(maps)
        reach = (row.accuracy_noisy_high - row.accuracy_noisy_low) / 2
        left = f"{100 * row.density:.3g} % left"
        digits = 0 if reach >= 1 else 1
        right = f"{row.accuracy_noisy:.{digits}f} ± {reach:.{digits}f} % right"
        labels.append(f"level {row.level}\n{left}\n{right}")
    columns = [sample.label for sample in samples]
    return plots.grid(
        rows,
        columns=columns,
        labels=labels,
        grey=plots.first_rows(2),
    )


def _readings(config: MnistIouConfig, table: pd.DataFrame, ending: str) -> Drawing:
    """Return a figure of the IoU, its part without empty maps, and their share, by target layer."""
    caption = (
        "The same networks, read at each output of their two convolutions: mean IoU of heatmap and "
        "image, IoU with the heatmap of the unpruned network, share of empty heatmaps. Means of "
        f"{len(config.seeds)} seeds, bands one standard deviation. {ending}"
    )
    return Drawing(partial(_draw_readings, table), caption, lines=True)


def _draw_readings(table: pd.DataFrame) -> Figure:
    by_layer = {
        f"{layer} ({title})": part
        for (layer, title), part in table.groupby(["layer", "reading"], sort=False)
        if not title.startswith("target class")
    }
    return charts.panels_of_columns(by_layer, _READING_PANELS, "level", xlabel="pruning level")


def _cuts(config: MnistIouConfig, table: pd.DataFrame, ending: str) -> Drawing:
    """Return a figure of the correlation of IoU and accuracy by cut, seed and layer."""
    caption = (
        "One correlation? That of IoU and accuracy over the levels above an accuracy. Left every "
        "seed alone; right the mean of the seeds with its 95 % interval, for all seeds and for the "
        f"thesis's, and for other target layers. Cuts with fewer than 5 levels are left out. "
        f"{ending}"
    )
    return Drawing(partial(_draw_cuts, config, table), caption, lines=True)


def _draw_cuts(config: MnistIouConfig, table: pd.DataFrame) -> Figure:
    is_seed = table["series"].str.startswith("seed ")
    at_layer = table["layer"] == config.target_layer
    seeds = table[is_seed & at_layer]
    of_thesis = [f"seed {seed}" for seed in config.seeds]
    seeds = seeds.assign(in_thesis=seeds["series"].isin(of_thesis))
    of_all = table[table["series"] == ALL_SEEDS]
    by_layer = table[table["series"] == THESIS_SEEDS].groupby("layer", sort=False)
    means = {f"{layer}, {len(config.seeds)} seeds": part for layer, part in by_layer}
    if len(of_all):
        means[f"{config.target_layer}, {len(config.all_seeds)} seeds"] = of_all
    panels = (f"maps read at {config.target_layer}, single seeds", "means of seeds")
    return charts.correlations_by_cut(seeds, means, panels=panels)


def _seeds(
    config: MnistIouConfig,
    levels: pd.DataFrame,
    seeds: pd.DataFrame,
    ending: str,
) -> Drawing:
    count = len(config.all_seeds)
    caption = (
        f"What a seed is worth: {count} seeds, of which the thesis has {len(config.seeds)}. Left, "
        "IoU by level: all seeds (light), the middle 80 % (dark), their median, and the mean of "
        "the thesis's seeds (dashed). Right, the correlation of IoU and accuracy of each seed, "
        f"those of the thesis as triangles. {ending}"
    )
    base = rows_of(levels, BASE, config.all_seeds)
    iou = base.pivot_table(index="level", columns="seed", values="iou")
    draw = partial(charts.seed_bands, iou, seeds, list(config.seeds), working=WORKING)
    return Drawing(draw, caption, lines=True)


def _datasets(table: pd.DataFrame, ending: str) -> Drawing:
    caption = (
        "The same network, training and pruning on other images, with the thesis's seeds; bands "
        "one standard deviation. The IoU of two data sets cannot be compared: larger objects "
        f"overlap more with any heatmap (table sanity). {ending}"
    )
    by_dataset = {str(name): part for name, part in table.groupby("dataset", sort=False)}
    draw = partial(
        charts.panels_of_columns, by_dataset, _DATASET_PANELS, "level", xlabel="pruning level"
    )
    return Drawing(draw, caption, lines=True)
