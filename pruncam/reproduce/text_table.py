"""Tables of plain text, for a terminal."""

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], text_columns: int) -> list[str]:
    """Return the rows as lines, the first one underlined.

    The first `text_columns` columns are aligned to the left, the others, of numbers, to the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_line(row, widths, text_columns) for row in rows]
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]


def _line(row: Sequence[str], widths: Sequence[int], text_columns: int) -> str:
    cells = [
        cell.ljust(width) if column < text_columns else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
