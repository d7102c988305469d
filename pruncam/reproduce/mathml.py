"""Equations as MathML, which browsers show without a script and screen readers read."""

import re

from pruncam._core.extras import needed_for

# Environments that the library does not know, and those that look alike.
_ENVIRONMENTS = {"{aligned}": "{align*}", "{gathered}": "{matrix}"}
# MathML Core knows no named widths.
_NEGATIVE_SPACE = re.compile(r'<mspace width="negativethinmathspace" ?/>')


def to_mathml(latex: str, *, block: bool) -> str:
    """Return LaTeX as a `math` element; `block`: an equation on a line of its own.

    Raises ValueError, with the equation, if it cannot be converted.
    """
    with needed_for("writing equations as MathML", "notebooks"):
        from latex2mathml.converter import convert

    for unknown, alike in _ENVIRONMENTS.items():
        latex = latex.replace(unknown, alike)
    try:
        element = convert(latex, display="block" if block else "inline")
    except Exception as error:  # the library has many, without a common class
        raise ValueError(f"not an equation in LaTeX: {latex!r} ({error})") from error
    return _NEGATIVE_SPACE.sub("", element)
