"""The code of a view: a short text from which the same selection is restored."""

from collections.abc import Mapping

from pruncam.explorer.sources import StudySource
from pruncam.explorer.view import Selection

_FORM = "STUDY/PROFILE/DATA/SIZE/IMAGE/RULE/RATE/CAM/LAYER"


def write(source: StudySource, selection: Selection) -> str:
    """Return the code of a selection.

    An example is `sp2ps/quick/generated-10/32/4/L1/0.4/grad-cam++/features.19`.
    """
    parts = (selection.image, selection.rule, f"{selection.rate:g}")
    return "/".join(map(str, (*source.key, *parts, selection.method, selection.layer)))


def read(sources: Mapping[str, StudySource], code: str) -> Selection:
    """Return the selection of a code; whether it exists is left to the explorer.

    Raises ValueError if the text is no code, or its data set is not available.
    """
    parts = code.strip().split("/")
    if len(parts) != _FORM.count("/") + 1:
        raise ValueError(f"a view has the form {_FORM}, got {code.strip()!r}")
    key, (image, rule, rate, method, layer) = tuple(parts[:4]), parts[4:]
    titles = {source.key: title for title, source in sources.items()}
    if key not in titles:
        known = ", ".join("/".join(key) for key in titles)
        raise ValueError(f"the data set of the view {code.strip()!r} is not available: {known} are")
    try:
        numbers = int(image), float(rate)
    except ValueError:
        raise ValueError(f"image and rate of a view are numbers, got {image!r}, {rate!r}") from None
    return Selection(titles[key], numbers[0], rule, numbers[1], method, layer)
