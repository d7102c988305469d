"""Names beside points, placed where there is room for them."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.textpath import TextPath

from pruncam.report.plots import GREY

# All sizes are in points (1/72 inch).
_NEIGHBOURS = 3  # whose distances say how crowded a point is
_ANGLES = np.pi * np.array([0, 1, 0.25, 0.75, -0.25, -0.75, 0.5, -0.5])  # the best ones first
_DISTANCES = (6, 12, 22, 34, 48)  # of a name from its point
_DOT_RADIUS, _LINE_RADIUS = 3.5, 1.0
_LINE_STEP = 4


def write(
    axes: Axes,
    points: np.ndarray,
    names: Sequence[str],
    *,
    around: Sequence[np.ndarray] = (),
    size: float = 8,
) -> None:
    """Write the names of points as near to them as there is room.

    A name hides no other name and no point, stays inside the axes and, if possible, off the lines
    and points `around`. A name that is not beside its point is joined to it by a thin line. Call
    this last: later changes of the axes' limits or size are not taken into account.

    Parameters
    ----------
    points : (N, 2), in data coordinates
    names : N names
    around : lines (M, 2) or single points (1, 2), in data coordinates
    size : font size in points
    """
    axes.figure.draw_without_rendering()  # sets the positions of the points
    pixels_per_point = axes.figure.dpi / 72
    dots = axes.transData.transform(points) / pixels_per_point
    field = _boxes(*axes.get_window_extent().get_points() / pixels_per_point)
    obstacles = [_boxes(dots - _DOT_RADIUS, dots + _DOT_RADIUS)]
    obstacles += [_obstacle(axes.transData.transform(a) / pixels_per_point) for a in around]
    distances = np.repeat(_DISTANCES, len(_ANGLES))
    for index in _most_crowded_first(dots):
        extent = _text_extent(names[index], size)
        offsets = _offsets(distances, extent)
        corners = dots[index] + offsets
        boxes = _boxes(corners - extent / 2, corners + extent / 2)
        hidden = _common_area(boxes, np.concatenate(obstacles))
        outside = extent.prod() - _common_area(boxes, field[None])
        best = np.round(hidden + outside + distances, 3).argmin()  # the first of equals
        obstacles.append(boxes[[best]])
        is_joined = distances[best] > _DISTANCES[0]
        _annotate(
            axes,
            names[index],
            points[index],
            offsets[best],
            size,
            is_joined,
        )


def _most_crowded_first(dots: np.ndarray) -> np.ndarray:
    """Return the order of the points (N, 2) by their distance from their neighbours."""
    distances = np.linalg.norm(dots[:, None] - dots, axis=2)
    nearest = np.sort(distances, axis=1)[:, : _NEIGHBOURS + 1]
    return np.argsort(nearest.sum(1), kind="stable")


def _text_extent(name: str, size: float) -> np.ndarray:
    """Return width and height of a name, with a margin."""
    width = TextPath((0, 0), name, size=size).get_extents().width
    return np.array([width, size]) + 2


def _offsets(distances: np.ndarray, extent: np.ndarray) -> np.ndarray:
    """Return the possible centres of a name (P, 2), relative to its point."""
    directions = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
    directions = np.tile(directions, (len(_DISTANCES), 1))
    return directions * (distances[:, None] + extent / 2)


def _annotate(
    axes: Axes,
    name: str,
    point: np.ndarray,
    offset: np.ndarray,
    size: float,
    is_joined: bool,
) -> None:
    """Write one name, joined to its point by a line if `is_joined`."""
    line = {"arrowstyle": "-", "color": GREY, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 2}
    note = axes.annotate(
        name,
        point,
        xytext=offset,
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=size,
        zorder=4,
        arrowprops=line if is_joined else None,
    )
    note.set_path_effects([withStroke(linewidth=2, foreground="white")])
    note.set_in_layout(False)  # else the axes would shrink for it, and the points move


# ---------------------------------------------------------------- boxes


def _obstacle(line: np.ndarray) -> np.ndarray:
    """Return boxes (L, 4) along a line (M, 2), or around a single point."""
    if len(line) == 1:
        return _boxes(line - _DOT_RADIUS, line + _DOT_RADIUS)
    pieces = []
    for start, end in zip(line, line[1:], strict=False):
        steps = 2 + int(np.linalg.norm(end - start) / _LINE_STEP)
        pieces.append(np.linspace(start, end, steps))
    along = np.concatenate(pieces)
    return _boxes(along - _LINE_RADIUS, along + _LINE_RADIUS)


def _boxes(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return boxes (..., 4) with these lower left and upper right corners (..., 2)."""
    return np.concatenate([low, high], axis=-1)


def _common_area(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the area that each box (N, 4) has in common with the others (M, 4), (N,)."""
    low = np.maximum(boxes[:, None, :2], others[:, :2])
    high = np.minimum(boxes[:, None, 2:], others[:, 2:])
    return (high - low).clip(min=0).prod(2).sum(1)
