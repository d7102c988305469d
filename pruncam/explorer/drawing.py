"""A look as pictures: panels, the study's curve with a marker, a page for a browser, and figures for paper."""

import base64
import html
import io
from dataclasses import dataclass

import numpy as np
import PIL.Image
from matplotlib import colormaps
from matplotlib.figure import Figure

from pruncam.explorer.collections import Collection
from pruncam.explorer.looking import SCORES, Look
from pruncam.report import plots, rendering
from pruncam.studies.figures import TITLES, overlay, score_against_rate

DIFFERENCE = "RdBu_r"  # red: the pruned network looks there more
PANELS = ("image", "unpruned", "pruned", "pruned minus unpruned")
DPI = 100


def panels(look: Look) -> dict[str, np.ndarray]:
    """The four pictures, (H, W, 3) in [0, 1]: the image (white where it may not be shown), both maps, and what moved.

    The maps lie in colours over the image, which is grey there; their difference is red where the pruned network looks
    more, blue where it looks less.
    """
    blank = np.ones((*look.baseline.shape, 3))
    pictures = (
        blank if look.image is None else look.image,
        overlay(look.image, look.baseline),
        overlay(look.image, look.pruned),
        colormaps[DIFFERENCE]((look.difference + 1) / 2)[..., :3],
    )
    return dict(zip(PANELS, pictures, strict=True))


def figure(looks: list[Look]) -> Figure:
    """The panels of several looks, a row each."""
    rows = [list(panels(look).values()) for look in looks]
    return plots.grid(rows, columns=PANELS, labels=_names(looks), grey=plots.first_rows(0), scale=1.9)


def _names(looks: list[Look]) -> list[str]:
    """What tells the looks apart: how the networks were pruned, the CAMs, the target layers."""
    parts = [[look.network for look in looks], [TITLES[look.choice.method] for look in looks]]
    parts.append([look.choice.layer for look in looks])
    telling = [names for names in parts if len(set(names)) > 1] or parts[:1]
    return ["\n".join(names) for names in zip(*telling, strict=True)]


@dataclass(frozen=True, eq=False)
class Curve:
    """The study's curve as a picture that is drawn once, and where its points are on it."""

    png: bytes
    axes: object  # matplotlib's transformation of (rate in %, score) to pixels
    size: tuple[int, int]

    def place(self, rate: float, score: float) -> tuple[float, float]:
        """Where a score at a rate is: shares of the picture's width from the left and of its height from the top."""
        x, y = self.axes.transform((100 * rate, score))
        return x / self.size[0], 1 - y / self.size[1]


def curve_figure(of: Collection, rule: str) -> Figure:
    """The study's accuracy and score against the rate."""
    return score_against_rate(of.curves, of.entry[0], rule, of.kind.score, xlabel=of.kind.rate)


def curve(of: Collection, rule: str) -> Curve:
    """The study's curve, drawn when it is first asked for."""
    return of.once(("curve", rule), lambda: _drawn(of, rule))


def _drawn(of: Collection, rule: str) -> Curve:
    drawn = rendering.laid_out(curve_figure(of, rule))
    image = rendering.pixels(drawn, DPI)
    return Curve(rendering.png(image, 64), drawn.axes[1].transData.frozen(), image.size)


def with_marker(of: Collection, look: Look) -> Figure:
    """The study's curve, and this image's score as a black diamond."""
    drawn = curve_figure(of, look.choice.rule)
    value = look.scores[of.kind.score[0]]
    mark = {"color": "black", "marker": "D", "markersize": 8, "markerfacecolor": "white", "clip_on": False}
    drawn.axes[1].plot([100 * look.choice.rate], [value], **mark, zorder=10)
    return drawn


def page(of: Collection, look: Look) -> str:
    """The look as HTML: four pictures with their captions, the curve with a marker, and the scores as a table."""
    seen = "".join(_panel(name, picture, look) for name, picture in panels(look).items())
    return (
        '<div style="display:grid;grid-template-columns:repeat(4,minmax(0,1fr));gap:10px;max-width:900px">'
        f"{seen}</div>"
        '<div style="display:flex;flex-wrap:wrap;gap:20px;max-width:900px;margin-top:14px">'
        f"{_marked(of, look)}{_table(look)}</div>"
    )


def words(look: Look) -> str:
    """The look's text as HTML that a screen reader reads out when it changes."""
    return sentence(look.text)


def sentence(text: str) -> str:
    """Lines of text as HTML that is read out when they change."""
    lines = "<br>".join(html.escape(line) for line in text.splitlines())
    return f'<div role="status" aria-live="polite" style="max-width:900px;line-height:1.5">{lines}</div>'


def _panel(name: str, picture: np.ndarray, look: Look) -> str:
    captions = {
        "image": f"image: {look.label}" if look.image is not None else "not shown: its licence does not allow it",
        "unpruned": f"unpruned: {look.answers[0].said}",
        "pruned": f"{look.network}: {look.answers[1].said}",
        "pruned minus unpruned": "difference: the pruned network looks more (red), less (blue)",
    }
    style = "width:100%;image-rendering:pixelated;display:block;border:1px solid #ccc"
    image = f'<img src="{_data(_png(picture))}" alt="{html.escape(name)}" style="{style}">'
    caption = f'<figcaption style="line-height:1.3">{html.escape(captions[name])}</figcaption>'
    return f'<figure style="margin:0">{image}{caption}</figure>'


def _marked(of: Collection, look: Look) -> str:
    """The curve, and over it this image's score as a diamond: nothing is drawn anew for a move."""
    drawn, (column, name) = curve(of, look.choice.rule), of.kind.score
    left, top = drawn.place(look.choice.rate, look.scores[column])
    diamond = (
        f"position:absolute;left:{left:.2%};top:{top:.2%};width:10px;height:10px;margin:-6px 0 0 -6px;"
        "transform:rotate(45deg);background:white;border:2px solid black"
    )
    text = (
        f"{name} of the study against the rate; this image at {100 * look.choice.rate:g} %: {look.scores[column]:.3f}"
    )
    return (
        '<figure style="margin:0;flex:3 1 380px;min-width:260px;max-width:600px">'
        '<div style="position:relative">'
        f'<img src="{_data(drawn.png)}" alt="{html.escape(text)}" style="width:100%;display:block">'
        f'<div style="{diamond}" aria-hidden="true"></div></div>'
        f'<figcaption style="line-height:1.3">Diamond: {name} of this image. Curves: the study, means of all test '
        "images at the last convolution. Bands: not pruned, only fine-tuned; dotted: random weights.</figcaption>"
        "</figure>"
    )


def _table(look: Look) -> str:
    rows = "".join(
        f'<tr><th scope="row" style="text-align:left;font-weight:normal;padding:2px 16px 2px 0">{name}</th>'
        f'<td style="text-align:right;padding:2px 0;font-variant-numeric:tabular-nums">{look.scores[key]:.3f}</td></tr>'
        for key, name in SCORES.items()
    )
    title = f"{TITLES[look.choice.method]} of this image"
    caption = f'<caption style="text-align:left;font-weight:bold">{html.escape(title)}</caption>'
    style = "flex:1 1 200px;max-width:260px;align-self:flex-start;border-collapse:collapse"
    return f'<table style="{style}">{caption}{rows}</table>'


def _png(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(np.rint(255 * picture.clip(0, 1)).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def _data(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
