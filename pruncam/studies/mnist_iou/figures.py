"""The figures of the MNIST IoU study, by the thesis's numbers, and what they show beyond it."""

from collections.abc import Callable
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from pruncam.report import diagrams, plots
from pruncam.report.result import Drawing
from pruncam.studies.mnist_iou.config import Config
from pruncam.studies.mnist_iou.samples import Sample
from pruncam.studies.mnist_iou.tables import BASE, WORKING

_TITLES = ("image", "with noise", "heatmap")


def drawings(
    config: Config, tables: dict[str, pd.DataFrame], samples: dict[str, list[Sample]], data: str
) -> dict[str, Drawing]:
    """Every figure of the study; `data` names the data set in captions."""
    by_level, levels = tables["figure_3_1"], tables["levels"]
    first = levels[(levels["variant"] == BASE) & (levels["seed"] == config.seeds[0])]
    where = f"Profile {config.profile}, {data}."
    bands = f"Means of {len(config.seeds)} seeds, bands one standard deviation, not below 0. {where}"
    found = {
        "2.1": Drawing(
            diagrams.convolution,
            "A convolution: each number of the feature map is the sum of the products of kernel and window.",
            lines=True,
        ),
        "2.2": Drawing(
            diagrams.mnist_network,
            "The network: 2,324 weights that may be pruned, and where its heatmap is read.",
            lines=True,
        ),
        "2.3": Drawing(
            partial(diagrams.lottery_pipeline, config.levels), "Iterative pruning with rewinding.", lines=True
        ),
        "2.4": _sample(samples["shown"][0], 0, f"The first 8 of the test images at full density. {where}"),
        "3.1": Drawing(
            partial(_over_levels, by_level),
            f"Accuracy and IoU at each pruning level. {bands}",
            lines=True,
        ),
        "3.2": Drawing(
            partial(_over_density, by_level),
            f"The same against density: most levels crowd near zero. {bands}",
            lines=True,
        ),
    }
    rule = "The first test image whose heatmap is inverted at level 0 (weaker on the digit than around it)"
    if config.levels >= 10:
        found["4.1"] = _sample(samples["early"][0], 10, f"{rule}, here at level 10. {where}")
    found["4.2"] = _sample(samples["early"][0], 0, f"{rule}, at level 0. {where}")
    found["scatter"] = Drawing(
        partial(_scatter, by_level),
        "IoU against accuracy, a point per level. Left all levels, right those that still work: a few points at "
        f"chance level can make any correlation. {where}",
        lines=True,
    )
    found["control"] = Drawing(
        partial(_control, by_level),
        "What changes with pruning besides place: IoU with the own and with another image, spread of the heatmap, "
        f"share of inverted heatmaps. {where}",
        lines=True,
    )
    found["gallery"] = Drawing(
        partial(_gallery, first, samples["classes"]),
        "One digit of each class and its heatmap as the network gets sparser: the share of weights that is left, and "
        "of the test images that it gets right. Each heatmap is scaled to its own maximum; one that is all black is "
        f"empty. Seed {config.seeds[0]}. {where}",
    )
    return found


def _sample(sample: Sample, level: int, caption: str) -> Drawing:
    title = f"test image {sample.index}, class {sample.label}: IoU {sample.iou[level]:.2f} at level {level}"
    draw: Callable[[], Figure] = partial(
        plots.triptych, sample.image, sample.noisy, sample.maps[level], titles=_TITLES, title=title
    )
    return Drawing(draw, caption)


_ACCURACY = {
    "accuracy_noisy": ("accuracy on noisy images", plots.BLUE),
    "accuracy_clean": ("on clean images", plots.GREEN),
}
_IOU = {"iou": ("IoU of heatmap and image", plots.ORANGE)}
_BANDS = {"accuracy_noisy": "accuracy_noisy_sd", "iou": "iou_sd"}


def _over_levels(by_level: pd.DataFrame) -> Figure:
    labels = ("pruning level (weights remaining, %)", "accuracy, %", "soft IoU")
    figure = plots.two_scales(by_level, "level", _ACCURACY, _IOU, labels=labels, bands=_BANDS)
    axes = figure.axes[0]
    shown = by_level.iloc[:: 2 if len(by_level) > 14 else 1]
    axes.set_xticks(
        shown["level"], [f"{row.level:.0f}\n{100 * row.density:.3g}" for row in shown.itertuples()], fontsize=7
    )
    return figure


def _over_density(by_level: pd.DataFrame) -> Figure:
    table = by_level.assign(percent=100 * by_level["density"])
    labels = ("density, % of weights remaining", "accuracy, %", "soft IoU")
    return plots.two_scales(table, "percent", _ACCURACY, _IOU, labels=labels, bands=_BANDS)


def _scatter(by_level: pd.DataFrame) -> Figure:
    working = by_level[by_level["accuracy_noisy"] > WORKING]
    panels = {"all levels": by_level}
    if len(working):
        panels[f"accuracy above {WORKING:.0f} %"] = working
    notes = {
        title: f"r = {table['iou'].corr(table['accuracy_noisy']):.2f}, n = {len(table)}\n"
        f"rank: {table['iou'].corr(table['accuracy_noisy'], method='spearman'):.2f}"
        for title, table in panels.items()
        if len(table) >= 5
    }
    labels = ("accuracy on noisy images, %", "soft IoU")
    return plots.scatter(panels, "accuracy_noisy", "iou", labels=labels, colour_by=("level", "level"), notes=notes)


def _control(by_level: pd.DataFrame) -> Figure:
    panels = {
        "soft IoU": {"iou": ("own image", plots.ORANGE), "iou_other_image": ("another image", plots.GREY)},
        "all heatmap pixels": {
            "heatmap_mean": ("mean", plots.GREEN),
            "heatmap_std": ("standard deviation", plots.PURPLE),
        },
        "share of heatmaps": {"inverted": ("inverted", plots.BLUE), "empty": ("empty", plots.GREY)},
    }
    return plots.curves_small(panels, by_level, "level", xlabel="pruning level")


def _gallery(levels: pd.DataFrame, samples: list[Sample]) -> Figure:
    """A column per digit, a row per level; `levels` are those of the network that is shown."""
    shown = levels[levels["level"].isin((0, 5, 8, 10, 12, 15, 17, 20))]
    rows = [[s.image for s in samples], [s.noisy for s in samples]]
    rows += [[s.maps[level] for s in samples] for level in shown["level"]]
    labels = [
        f"level {row.level}\n{100 * row.density:.3g} % left\n{row.accuracy_noisy:.0f} % right"
        for row in shown.itertuples()
    ]
    columns = [s.label for s in samples]
    return plots.grid(rows, columns=columns, labels=["image", "with noise", *labels], grey=plots.first_rows(2))
