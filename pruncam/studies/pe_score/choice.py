"""Up to which rate can a pruned model be trusted? The procedure of the PE-score paper, Section 5."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from pruncam.choices import is_number, shown

SIMILAR = 0.9  # PE from which maps count as very similar (PE-score, Section 6: "around 0.9")
MOVED = 5  # images that are named


@dataclass(frozen=True)
class Choice:
    """A pruning rate, and why; `images` has what moved most where the maps must be inspected, else no row."""

    rate: float  # 0 where no rate will do
    verdict: Literal["trust", "prune less", "inspect the maps"]
    why: str
    images: pd.DataFrame


def choose_rate(
    table: pd.DataFrame, max_accuracy_drop: float = 0.01, *, similar: float = SIMILAR, rows: pd.DataFrame | None = None
) -> Choice:
    """The largest rate that can be trusted (PE-score, Section 5).

    Where accuracy and PE both fall as the rate rises: the largest rate whose accuracy is at most `max_accuracy_drop`
    under the unpruned model's. Otherwise the maps must be inspected, and the rate is the largest up to which PE stays
    at `similar` or above: a low PE says that they moved, the images say where.

    Parameters
    ----------
    table : a row per rate: `rate` in (0, 1), `acc_drop` in points under the unpruned model, `pe` in [0, 1]
        One criterion, one CAM. A row of rate 0 is the unpruned model itself and is left out.
    max_accuracy_drop : fraction, 0.01 is one point
    similar : PE from which maps count as very similar
    rows : scores by image as `scoring` gives them, with `rate`, `image`, `label` and `pe`, of this criterion and CAM

    Raises
    ------
    ValueError
        If a column is missing, a value is none, a rate stands twice or is outside [0, 1), or there is no row.

    Examples
    --------
    >>> drops = pd.DataFrame({"rate": [0.35, 0.5, 0.7], "acc_drop": [0.25, 0.54, 3.37], "pe": [0.9, 0.88, 0.85]})
    >>> choose_rate(drops).rate  # CIFAR-10, Weight, as published
    0.5
    """
    _check(table, max_accuracy_drop, similar)
    table = table[table["rate"] > 0].sort_values("rate", ignore_index=True)
    if table.empty:
        raise ValueError("there is no pruned model in the table: it needs a rate above 0")
    accuracy_rises = np.diff(np.r_[0.0, table["acc_drop"]]) < 0
    pe_rises = np.diff(np.r_[1.0, table["pe"]]) > 0
    if not accuracy_rises.any() and not pe_rises.any():
        allowed = table[table["acc_drop"] <= 100 * max_accuracy_drop + 1e-9]
        falls, limit = "accuracy and PE both fall as the rate rises", f"{100 * max_accuracy_drop:g} points"
        if allowed.empty:
            least = f"{table['acc_drop'].iloc[0]:.2f} points are lost at {table['rate'].iloc[0]:.0%} already"
            return Choice(0.0, "prune less", f"{falls}; {least}, more than {limit}", _moved(None, 0.0))
        rate, lost = float(allowed["rate"].max()), allowed["acc_drop"].iloc[-1]
        why = f"{falls}; up to {rate:.0%} the loss is at most {limit} ({lost:.2f} points)"
        return Choice(rate, "trust", why, _moved(None, rate))
    # Up to the first rate where the maps are no longer alike: a later high PE would not make that one good.
    alike = table["pe"].ge(similar).cumprod().astype(bool)
    rate = float(table.loc[alike, "rate"].max()) if alike.any() else 0.0
    rises = [("accuracy", accuracy_rises), ("PE", pe_rises)]
    words = " and ".join(f"{name} rises at {_percent(table['rate'][where])}" for name, where in rises if where.any())
    reach = (
        f"{similar:g} or more up to {rate:.0%}" if rate else f"under {similar:g} from {table['rate'].iloc[0]:.0%} on"
    )
    why = f"{words}: the maps must be inspected; PE is {reach}"
    return Choice(rate, "inspect the maps", why, _moved(rows, rate))


def _percent(rates: pd.Series) -> str:
    return ", ".join(f"{100 * rate:g}" for rate in rates) + " %"


def _moved(rows: pd.DataFrame | None, rate: float) -> pd.DataFrame:
    """The images whose maps moved most, at every rate above the chosen one."""
    columns = ["rate", "image", "label", "pe"]
    if rows is None:
        return pd.DataFrame(columns=columns)
    chosen = rows.loc[rows["rate"] > rate, columns].sort_values(["rate", "pe", "image"])
    return chosen.groupby("rate", sort=True).head(MOVED).reset_index(drop=True)


def _check(table: pd.DataFrame, max_accuracy_drop: float, similar: float) -> None:
    if not isinstance(table, pd.DataFrame) or not {"rate", "acc_drop", "pe"} <= set(table.columns):
        raise ValueError(f"choose_rate needs a table with the columns rate, acc_drop and pe, got {shown(table)}")
    values = table[["rate", "acc_drop", "pe"]].to_numpy(dtype=float)
    if not np.isfinite(values).all():
        raise ValueError("choose_rate needs a number in every cell of rate, acc_drop and pe")
    rates = values[:, 0]
    if len(set(rates)) < len(rates) or not ((rates >= 0) & (rates < 1)).all():
        raise ValueError(
            f"choose_rate needs different rates in [0, 1), one criterion and CAM: got {shown(list(rates))}"
        )
    for name, value in {"max_accuracy_drop": max_accuracy_drop, "similar": similar}.items():
        if not is_number(value) or not 0 <= value <= 1:
            raise ValueError(f"{name} must be a fraction in [0, 1], got {shown(value)}")
