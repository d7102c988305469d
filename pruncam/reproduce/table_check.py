"""A table of a new run beside the committed one: what moved, and whether that is too far."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from pruncam.reproduce import tolerances

_SHOWN_KEYS = 4  # columns that name a row in a message
_SHOWN_BREAKS = 5  # of a column
_ROUNDING = 1e-9  # of a sum in another order, relative to a number above 1

Tables = Mapping[str, pd.DataFrame]  # by the stem of their file
Unstable = set[tuple[str, ...]]


@dataclass(frozen=True)
class Movement:
    """A number that moved: `share` is how far, as a share of what is allowed."""

    cell: str
    committed: float
    new: float
    share: float

    def __str__(self) -> str:
        return f"{self.cell}: {self.committed:.6g} -> {self.new:.6g}"


@dataclass
class TableCheck:
    """A table beside the committed one.

    Parameters
    ----------
    table : the stem of its file
    held : number of measured numbers that were compared
    largest : the number that moved furthest, None if none moved
    breaks : what must not differ and does, in words
    notes : what may differ and does, in words
    """

    table: str
    held: int = 0
    largest: Movement | None = None
    breaks: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check_tables(committed: Tables, new: Tables) -> list[TableCheck]:
    """Return the check of every table that either has; timings are left out."""
    stems = [*committed, *(stem for stem in new if stem not in committed)]
    unstable = _unstable_rows(committed) | _unstable_rows(new)
    checks = []
    for stem in stems:
        if stem in tolerances.TIMINGS:
            continue
        check = TableCheck(stem)
        if stem not in committed:
            check.breaks.append("not committed: the result is of an older version")
        elif stem not in new:
            check.breaks.append("committed, and no longer made")
        else:
            _compare(check, committed[stem], new[stem], unstable)
        checks.append(check)
    return checks


def _compare(
    check: TableCheck, committed: pd.DataFrame, new: pd.DataFrame, unstable: Unstable
) -> None:
    lacking = [name for name in new if name not in committed]
    if lacking:
        columns = ", ".join(lacking)
        check.breaks.append(f"committed by an older version, without the columns {columns}")
    gone = [name for name in committed if name not in new]
    if gone:
        check.breaks.append(f"the committed columns {', '.join(gone)} are no longer made")
    if len(committed) != len(new):
        check.breaks.append(f"{len(committed)} rows are committed, now there are {len(new)}")
    if check.breaks:
        return
    names = tolerances.ROW_NAMES.get(check.table)
    if names:
        committed, new = (table.sort_values(names, kind="stable") for table in (committed, new))
    _TablePair(check, committed.reset_index(drop=True), new.reset_index(drop=True)).compare(
        unstable
    )


@dataclass(frozen=True)
class _TablePair:
    """Two tables with the same columns and as many rows."""

    check: TableCheck
    committed: pd.DataFrame
    new: pd.DataFrame

    @property
    def _tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        return self.committed, self.new

    def compare(self, unstable: Unstable) -> None:
        """Add to the check what differs; numbers of `unstable` rows are not held."""
        table, columns = self.check.table, list(self.new)
        is_same = pd.Series(True, index=self.new.index)
        chosen = tolerances.chosen(table, columns)
        for column in chosen:
            is_same &= _equal(self.committed[column], self.new[column])
        if not is_same.all():
            self.check.notes.append(f"{(~is_same).sum()} rows chose another {' or '.join(chosen)}")
        stable = is_same & ~self._rows_in(unstable)
        for column in columns:
            values = self.new[column]
            if column in chosen:
                continue
            if self._is_exact(column):
                self._compare_exactly(column, is_same)
            elif tolerances.is_held(table, column, values):
                self._hold(column, stable)
            elif tolerances.is_decided(table, column):
                self._note(column, is_same)

    def _is_exact(self, column: str) -> bool:
        """A count is one in both tables; with missing values, pandas reads it as a fraction."""
        table = self.check.table
        return any(tolerances.is_exact(table, column, t[column]) for t in self._tables)

    def _compare_exactly(self, column: str, rows: pd.Series) -> None:
        differing = rows & ~_equal(self.committed[column], self.new[column])
        for row in self.new.index[differing][:_SHOWN_BREAKS]:
            pair = f"{self.committed[column][row]} -> {self.new[column][row]}"
            self.check.breaks.append(f"{self._cell(column, row)}: {pair}")
        if differing.sum() > _SHOWN_BREAKS:
            self.check.breaks.append(f"{column}: {differing.sum() - _SHOWN_BREAKS} more")

    def _hold(self, column: str, rows: pd.Series) -> None:
        """Add to the check how far the measured numbers of a column moved."""
        shares = self._shares(column)[rows]
        self.check.held += len(shares)
        moved = shares[shares > 0].sort_values(ascending=False, kind="stable")
        movements = [self._movement(column, row, moved[row]) for row in moved.index[:_SHOWN_BREAKS]]
        largest = self.check.largest
        if movements and movements[0].share > (largest.share if largest else 0.0):
            self.check.largest = movements[0]
        broken = [movement for movement in movements if movement.share > 1]
        for movement in broken:
            self.check.breaks.append(f"{movement}, {movement.share:.3g} of what is allowed")
        more = int((moved > 1).sum()) - len(broken)
        if more:
            self.check.breaks.append(f"{column}: {more} more")

    def _shares(self, column: str) -> pd.Series:
        """Return how far each number of a column moved, as a share of what is allowed."""
        committed, new = (table[column].astype(float) for table in self._tables)
        shares = (new - committed).abs() / tolerances.allowed(column, committed)
        ends = tolerances.interval_columns(column, list(self.new))
        if ends is not None:
            low, high = ends
            of_committed = _share(committed, new, self.committed[low], self.committed[high])
            of_new = _share(new, committed, self.new[low], self.new[high])
            shares = np.maximum(of_committed, of_new).fillna(shares)
        shares[_is_rounding(committed, new)] = 0.0
        shares[committed.isna() != new.isna()] = math.inf
        return shares.fillna(0.0)

    def _movement(self, column: str, row: int, share: float) -> Movement:
        committed, new = (float(table[column][row]) for table in self._tables)
        return Movement(self._cell(column, row), committed, new, float(share))

    def _note(self, column: str, rows: pd.Series) -> None:
        differing = (rows & ~_equal(self.committed[column], self.new[column])).sum()
        if differing:
            self.check.notes.append(f"{column}: {differing} of {len(rows)} rows differ")

    def _rows_in(self, unstable: Unstable) -> pd.Series:
        """Return which rows are of models that training leaves undetermined."""
        names = [_row_name(row) for row in self.new.to_dict("records")]
        return pd.Series([not names_of.isdisjoint(unstable) for names_of in names], self.new.index)

    def _cell(self, column: str, row: int) -> str:
        keys = [
            f"{name} {self.new[name][row]}"
            for name in self.new
            if name != column and self._is_exact(name) and len(str(self.new[name][row])) < 40
        ]
        where = ", ".join(keys[:_SHOWN_KEYS])
        return f"{column} ({where})" if where else column


def _share(estimate: pd.Series, other: pd.Series, low: pd.Series, high: pd.Series) -> pd.Series:
    """Return how far `other` is from an estimate, as a share of the way to the interval's end.

    NaN without an interval.
    """
    end = high.where(other > estimate, low)
    return (other - estimate).abs() / (end - estimate).abs()


def _is_rounding(committed: pd.Series, new: pd.Series) -> pd.Series:
    return (new - committed).abs() <= _ROUNDING * committed.abs().clip(lower=1.0)


def _equal(committed: pd.Series, new: pd.Series) -> pd.Series:
    return (committed == new) | (committed.isna() & new.isna())


def _row_name(row: Mapping[str, object]) -> Unstable:
    """Return the names under which a row may be unstable: its model, or its level."""
    names = set()
    if {"dataset", "rule", "rate"} <= row.keys():
        names.add((str(row["dataset"]), str(row["rule"]), f"{row['rate']:g}"))
    if "level" in row:
        names.add((f"level {row['level']}",))
    return names


def _unstable_rows(tables: Tables) -> Unstable:
    """Return the models that have collapsed, and the levels of the MNIST network that lost much.

    Their heatmaps judge nothing, and rounding decides where their training ends.
    """
    return {name for table in tables.values() for name in _unstable_in(table)}


def _unstable_in(table: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    for row in table.to_dict("records"):
        has_collapsed = row.get("collapsed") is True
        is_weak = "level" in row and row.get("accuracy_noisy", 100.0) <= tolerances.SOUND
        if has_collapsed or is_weak:
            yield from _row_name(row)
