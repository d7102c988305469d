"""The figures of the Sp2PS study."""

from functools import partial

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure

from pruncam.report import diagrams, plots
from pruncam.studies.sp2ps.config import Config
from pruncam.studies.sp2ps.distractor import CONTROL, MISLED, UNMOVED
from pruncam.studies.sp2ps.half import CHANCE, FLOOR, L1, RANDOM
from pruncam.studies.sp2ps.samples import Sample
from pruncam.studies.study import Drawing

TITLES = {"grad-cam": "Grad-CAM", "grad-cam++": "Grad-CAM++", "ablation-cam": "Ablation-CAM"}
COLOURS = {"grad-cam": plots.ORANGE, "grad-cam++": plots.GREY, "ablation-cam": plots.PURPLE}
MAPS = {"CIFAR-10": {"grad-cam": "4", "grad-cam++": "5", "ablation-cam": "6"}}  # the paper's numbers
MAPS["STL-10"] = {"grad-cam": "7", "grad-cam++": "8", "ablation-cam": "9"}
MOVED = {UNMOVED: "baseline", CONTROL: "trained on,\nno marks", MISLED: "moved to\nthe mark"}
CURVES = {("CIFAR-10", L1): "10", ("CIFAR-10", RANDOM): "11", ("STL-10", L1): "12", ("STL-10", RANDOM): "13"}


def drawings(
    config: Config, tables: dict[str, pd.DataFrame], samples: dict[str, Sample], data: dict[str, str]
) -> dict[str, Drawing]:
    """Every figure of the study; `data` names the data set behind each half in captions."""
    last = list(samples)[-1]
    found = {
        "1": Drawing(
            partial(_three, samples[last]),
            f"The three CAMs of one image by the unpruned network. {_where(config, data[last])}",
        ),
        "2": Drawing(diagrams.scoring_pipeline, "How a pruned model is scored.", lines=True),
        "3": Drawing(diagrams.plain_networks, "The two networks: 3x3 convolutions, BatchNorm, ReLU.", lines=True),
    }
    for half, sample in samples.items():
        for method in config.methods:
            number = MAPS.get(half, {}).get(method, f"maps {half} {method}")
            caption = (
                f"{TITLES[method]} of test image {sample.index} (class {sample.label}) by the unpruned network and by "
                f"models pruned at {_percent(config.rates)}. {_where(config, data[half])}"
            )
            found[number] = Drawing(partial(_maps, config, sample, method), caption)
    for half in samples:
        for rule in (L1, RANDOM):
            caption = (
                f"Accuracy (left scale) and Sp2PS of the three CAMs on {half} with {rule}; bars: 95 % intervals over "
                "images. Bands: Sp2PS of the baseline that is fine-tuned and not pruned, all seeds and their interval; "
                f"dotted: of networks with random weights. {_where(config, data[half])}"
            )
            number = CURVES.get((half, rule), f"curves {half} {rule}")
            found[number] = Drawing(partial(_curve, config, tables, half, rule), caption, lines=True)
    return dict(sorted(found.items(), key=lambda entry: (len(entry[0]), entry[0])))


def _where(config: Config, data: str) -> str:
    return f"Profile {config.profile}, {data}."


def _percent(rates: tuple[float, ...]) -> str:
    return ", ".join(f"{100 * rate:g}" for rate in rates) + " %"


def _overlay(image: np.ndarray | None, heatmap: np.ndarray) -> np.ndarray:
    """The heatmap in colours over its picture; alone where the picture may not be published."""
    coloured = colormaps["jet"](heatmap)[..., :3]
    return coloured if image is None else 0.5 * image + 0.5 * coloured


def _blank(heatmap: np.ndarray) -> np.ndarray:
    return np.ones((*heatmap.shape, 3))


def _three(sample: Sample) -> Figure:
    maps = {method: rules[L1][0] for method, rules in sample.maps.items()}
    shape = next(iter(maps.values()))
    pictures = [_blank(shape) if sample.image is None else sample.image]
    pictures += [_overlay(sample.image, heatmap) for heatmap in maps.values()]
    titles = ["not shown" if sample.image is None else sample.label, *(TITLES[method] for method in maps)]
    return plots.grid([pictures], columns=titles, labels=[""], grey=plots.first_rows(0), scale=1.7)


def _maps(config: Config, sample: Sample, method: str) -> Figure:
    rows = []
    for rule in (L1, RANDOM):
        maps = sample.maps[method][rule]
        first = _blank(maps[0]) if sample.image is None else sample.image
        rows.append([first, *(_overlay(sample.image, heatmap) for heatmap in maps)])
    columns = [
        "not shown" if sample.image is None else sample.label,
        "unpruned",
        *(f"{100 * r:g} %" for r in config.rates),
    ]
    return plots.grid(rows, columns=columns, labels=[L1, RANDOM], grey=plots.first_rows(0), scale=1.2)


def _curve(config: Config, tables: dict[str, pd.DataFrame], half: str, rule: str) -> Figure:
    curves = tables["curves"]
    part = curves[(curves["half"] == half) & (curves["rule"] == rule)]
    baseline = (part["accuracy"] + part["acc_drop"]).iloc[0]
    series = {}
    for method in config.methods:
        own = part[part["method"] == method].sort_values("rate")
        ends = curves[(curves["half"] == half) & (curves["method"] == method) & curves["rule"].isin((FLOOR, CHANCE))]
        seeds = tables["ends"]
        seeds = seeds[(seeds["half"] == half) & (seeds["method"] == method)]
        chance = ends.loc[ends["rule"] == CHANCE, "sp2ps"]
        series[TITLES[method]] = plots.Series(
            x=[0, *(100 * own["rate"])],
            y=[1, *own["sp2ps"]],
            low=[1, *own["sp2ps_low"]],
            high=[1, *own["sp2ps_high"]],
            colour=COLOURS[method],
            floor=_band(ends[ends["rule"] == FLOOR], seeds.loc[seeds["rule"] == FLOOR, "sp2ps"]),
            chance=chance.iloc[0] if len(chance) else None,
        )
    once = part[part["method"] == config.methods[0]].sort_values("rate")
    accuracy = plots.Series([0, *(100 * once["rate"])], [baseline, *once["accuracy"]], colour=plots.BLUE)
    return plots.against_rate(accuracy, series, labels=("pruning rate, %", "accuracy, %", "Sp2PS"))


def _band(mean: pd.DataFrame, seeds: pd.Series) -> tuple[float, float] | None:
    """What the seeds and the interval of their mean span."""
    if mean.empty:
        return None
    return min(mean["sp2ps_low"].min(), seeds.min()), max(mean["sp2ps_high"].max(), seeds.max())


def distractor(config: Config, sample: tuple[np.ndarray, dict[str, dict[str, np.ndarray]]]) -> Drawing:
    """One marked picture, and where the baseline and the model that was moved to the mark look."""
    caption = (
        "A picture with a mark in its upper left corner, and where three models look: the baseline, the baseline "
        "trained on without marks, and the baseline moved to the mark, which tells the class when the object does not. "
        f"Profile {config.profile}, generated shapes."
    )
    return Drawing(partial(_misled, sample), caption)


def _misled(sample: tuple[np.ndarray, dict[str, dict[str, np.ndarray]]]) -> Figure:
    image, maps = sample
    rows = [[image, *(_overlay(image, heatmap) for heatmap in found.values())] for found in maps.values()]
    columns = ["picture", *(TITLES[method] for method in next(iter(maps.values())))]
    labels = [MOVED[name] for name in maps]
    return plots.grid(rows, columns=columns, labels=labels, grey=plots.first_rows(0), scale=1.4)
