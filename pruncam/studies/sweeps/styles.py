"""How the figures of the sweeps tell data sets apart: by colour and by marker."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import cycle

from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pruncam.report import plots

# Okabe and Ito's colours; grey and the two light ones come last.
_COLOURS = (
    plots.BLUE,
    plots.ORANGE,
    plots.GREEN,
    plots.PURPLE,
    "#000000",
    "#E69F00",
    "#56B4E9",
    plots.GREY,
)
DARK = "#444444"  # of lines that belong to no data set
_LEGEND_COLUMNS = 3


@dataclass(frozen=True)
class Style:
    """Colour and marker of a data set."""

    colour: str
    marker: str


def styles(datasets: Iterable[str]) -> dict[str, Style]:
    """Return the style of each data set, the same in all figures of a run."""
    names = dict.fromkeys(datasets)
    pairs = cycle(zip(_COLOURS, plots.MARKERS, strict=True))
    return {name: Style(*pair) for name, pair in zip(names, pairs, strict=False)}


def hollow_handle(label: str) -> Line2D:
    """Return the legend entry of the points of the paper."""
    return Line2D(
        [],
        [],
        color=plots.GREY,
        linestyle="none",
        marker="o",
        markerfacecolor="white",
        markersize=6,
        label=label,
    )


def legend(
    figure: Figure,
    handles: Collection[Artist],
    names: Mapping[str, str] | None = None,
) -> None:
    """Write a legend below the panels, with the data sets' `names` in the place of their labels."""
    names = names or {}
    titles = [str(handle.get_label()) for handle in handles]
    plots.legend_below(
        figure,
        handles=list(handles),
        labels=[names.get(title, title) for title in titles],
        columns=min(len(handles), _LEGEND_COLUMNS),
    )
