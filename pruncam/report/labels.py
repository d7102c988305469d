"""Names beside points, where there is room for them."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.textpath import TextPath

from pruncam.report.plots import GREY

_CROWD = 3  # neighbours by which it is told how crowded a point is
_ANGLES = np.pi * np.array([0, 1, 0.25, 0.75, -0.25, -0.75, 0.5, -0.5])  # where a name may stand, the best ones first
_DISTANCES = (4, 12, 22, 34, 48)  # from its point
_DOT, _LINE = 3.5, 1.0  # half the width that points and lines are taken to have


def write(
    axes: Axes, points: np.ndarray, names: Sequence[str], *, around: Sequence[np.ndarray] = (), size: float = 8
) -> None:
    """Write the names of points (N, 2), in data coordinates, as near to them as there is room.

    A name should hide neither another nor a point, nor leave the axes, and rather not lie on what is `around`: lines
    (M, 2), or single points (1, 2). Where it does not stand beside its point a thin line joins the two. Comes last in a
    figure: whatever moves or rescales the axes later is not seen. Sizes are in points.
    """
    axes.figure.draw_without_rendering()  # only then is it known where the points are
    pixel = axes.figure.dpi / 72
    dots = axes.transData.transform(points) / pixel
    field = _box(*axes.get_window_extent().get_points() / pixel)
    taken = [_box(dots - _DOT, dots + _DOT), *(_taken(axes.transData.transform(each) / pixel) for each in around)]
    far = np.repeat(_DISTANCES, len(_ANGLES))
    direction = np.tile(np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1), (len(_DISTANCES), 1))
    apart = np.sort(np.linalg.norm(dots[:, None] - dots, axis=2), axis=1)[:, : _CROWD + 1]
    for place in np.argsort(apart.sum(1), kind="stable"):  # the most crowded first
        extent = np.array([TextPath((0, 0), names[place], size=size).get_extents().width, size]) + 2
        middles = direction * (far[:, None] + extent / 2)
        boxes = _box(dots[place] + middles - extent / 2, dots[place] + middles + extent / 2)
        hidden = _common(boxes, np.concatenate(taken)) + extent.prod() - _common(boxes, field[None])
        best = np.round(hidden + far, 3).argmin()  # the first of equals
        taken.append(boxes[[best]])
        look = {"ha": "center", "va": "center", "fontsize": size, "textcoords": "offset points", "zorder": 4}
        if far[best] > _DISTANCES[0]:
            look["arrowprops"] = {"arrowstyle": "-", "color": GREY, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 2}
        note = axes.annotate(names[place], points[place], xytext=middles[best], **look)
        note.set_path_effects([withStroke(linewidth=2, foreground="white")])
        note.set_in_layout(False)  # else the axes would shrink, and the points move, for what has its place in them


def _taken(line: np.ndarray) -> np.ndarray:
    """Boxes (L, 4) along a line (M, 2), or around a single point."""
    if len(line) == 1:
        return _box(line - _DOT, line + _DOT)
    steps = [2 + int(np.linalg.norm(b - a) / 4) for a, b in zip(line, line[1:], strict=False)]
    along = np.concatenate([np.linspace(a, b, n) for a, b, n in zip(line, line[1:], steps, strict=False)])
    return _box(along - _LINE, along + _LINE)


def _box(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Boxes (..., 4) of their lower left and upper right corners (..., 2)."""
    return np.concatenate([low, high], axis=-1)


def _common(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The area that each box (N, 4) has in common with others (M, 4), (N,)."""
    low, high = np.maximum(boxes[:, None, :2], others[:, :2]), np.minimum(boxes[:, None, 2:], others[:, 2:])
    return (high - low).clip(min=0).prod(2).sum(1)
