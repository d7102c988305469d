"""The largest pruning rate that can be trusted: the procedure of the PE-score paper, Section 5."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from pruncam._core.validation import is_number, short_repr
from pruncam.statistics import as_numbers
from pruncam.studies.pe_score.config import PeScoreConfig

SIMILAR = 0.9  # PE from which maps count as very similar (PE-score, Section 6: "around 0.9")
_LISTED_IMAGES = 5  # images to inspect, per rate
_RATE_COLUMNS = ("rate", "acc_drop", "pe")
_IMAGE_COLUMNS = ["rate", "image", "label", "pe"]
_ROUNDING = 1e-9  # points of accuracy


@dataclass(frozen=True)
class RateChoice:
    """A pruning rate and the reason for it.

    If the maps must be inspected, `images` lists those that moved most; otherwise it has no row.
    """

    rate: float  # 0 if no rate is acceptable
    verdict: Literal["trust", "prune less", "inspect the maps"]
    why: str
    images: pd.DataFrame


def choose_rate(
    table: pd.DataFrame,
    max_accuracy_drop: float = 0.01,
    *,
    similar: float = SIMILAR,
    rows: pd.DataFrame | None = None,
) -> RateChoice:
    """Return the largest rate that can be trusted (PE-score, Section 5).

    If accuracy and PE both fall as the rate rises, it is the largest rate whose accuracy is at most
    `max_accuracy_drop` below the unpruned model's. Otherwise the maps must be inspected, and the
    rate is the largest up to which PE stays at `similar` or above. A low PE tells that maps moved;
    the images tell where to.

    Parameters
    ----------
    table : DataFrame with a row per rate, of one criterion and one CAM method
        `rate` in [0, 1), `acc_drop` in points below the unpruned model, `pe` in [0, 1]. A row of
        rate 0 is the unpruned model and is ignored.
    max_accuracy_drop : fraction; 0.01 is one point
    similar : PE from which maps count as very similar
    rows : DataFrame of scores by image, of the same criterion and CAM method, or None
        As `scoring` returns them, with `rate`, `image`, `label` and `pe`.

    Raises
    ------
    ValueError
        If a column or all rows are missing, a value is not finite or out of its range (a PE in
        percent, say), a rate is repeated or outside [0, 1), or an image has two rows of one rate.

    Examples
    --------
    >>> losses, scores = [0.25, 0.54, 3.37], [0.9, 0.88, 0.85]
    >>> table = pd.DataFrame({"rate": [0.35, 0.5, 0.7], "acc_drop": losses, "pe": scores})
    >>> choose_rate(table).rate  # CIFAR-10, Weight, as published
    0.5
    """
    _check(table, max_accuracy_drop, similar)
    if rows is not None:
        _check_image_rows(rows)
    table = table[table["rate"] > 0].sort_values("rate", ignore_index=True)
    if table.empty:
        raise ValueError("there is no pruned model in the table: it needs a rate above 0")
    rises = {
        "accuracy": np.diff(np.r_[0.0, table["acc_drop"]]) < 0,
        "PE": np.diff(np.r_[1.0, table["pe"]]) > 0,
    }
    if any(is_rise.any() for is_rise in rises.values()):
        return _by_similarity(table, similar, rises, rows)
    return _by_accuracy(table, max_accuracy_drop)


def _by_accuracy(table: pd.DataFrame, max_accuracy_drop: float) -> RateChoice:
    """Return the choice if accuracy and PE both fall."""
    falls = "accuracy and PE both fall as the rate rises"
    most = f"{100 * max_accuracy_drop:g}"
    limit = f"{most} point" if most == "1" else f"{most} points"
    allowed = table[table["acc_drop"] <= 100 * max_accuracy_drop + _ROUNDING]
    if allowed.empty:
        first = table.iloc[0]
        loss = f"{first['acc_drop']:.2f} points are lost at {first['rate']:.0%} already"
        why = f"{falls}; {loss}, more than {limit}"
        return RateChoice(0.0, "prune less", why, _most_moved(None, 0.0))
    rate = float(allowed["rate"].max())
    loss = allowed["acc_drop"].iloc[-1]
    why = f"{falls}; up to {rate:.0%} the loss is at most {limit} ({loss:.2f} points)"
    return RateChoice(rate, "trust", why, _most_moved(None, rate))


def _by_similarity(
    table: pd.DataFrame,
    similar: float,
    rises: dict[str, np.ndarray],
    rows: pd.DataFrame | None,
) -> RateChoice:
    """Return the choice if accuracy or PE rises at some rate."""
    # Only up to the first rate below the limit: a high PE beyond it does not vindicate that rate.
    is_similar = table["pe"].ge(similar).cumprod().astype(bool)
    rate = float(table.loc[is_similar, "rate"].max()) if is_similar.any() else 0.0
    rising = " and ".join(
        f"{name} rises at {_percent(table['rate'][is_rise])}"
        for name, is_rise in rises.items()
        if is_rise.any()
    )
    if rate:
        reach = f"{similar:g} or more up to {rate:.0%}"
    else:
        reach = f"under {similar:g} from {table['rate'].iloc[0]:.0%} on"
    why = f"{rising}: the maps must be inspected; PE is {reach}"
    return RateChoice(rate, "inspect the maps", why, _most_moved(rows, rate))


def _percent(rates: pd.Series) -> str:
    return ", ".join(f"{100 * rate:g}" for rate in rates) + " %"


def _most_moved(rows: pd.DataFrame | None, rate: float) -> pd.DataFrame:
    """Return the images whose maps moved most, at every rate above the chosen one."""
    if rows is None:
        return pd.DataFrame(columns=_IMAGE_COLUMNS)
    above = rows.loc[rows["rate"] > rate, _IMAGE_COLUMNS]
    ordered = above.sort_values(["rate", "pe", "image"])
    return ordered.groupby("rate", sort=True).head(_LISTED_IMAGES).reset_index(drop=True)


def _check(
    table: pd.DataFrame,
    max_accuracy_drop: float,
    similar: float,
) -> None:
    if not isinstance(table, pd.DataFrame) or not {*_RATE_COLUMNS} <= set(table.columns):
        raise ValueError(
            "choose_rate needs a table with the columns rate, acc_drop and pe, "
            f"got {short_repr(table)}"
        )
    columns = {name: as_numbers(name, table[name]) for name in _RATE_COLUMNS}
    rates, drops, scores = columns.values()
    if rates.ndim > 1 or not all(np.isfinite(values).all() for values in columns.values()):
        raise ValueError(
            "choose_rate needs a number in every cell of rate, acc_drop and pe, each column once"
        )
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError(
            f"choose_rate needs pe in [0, 1], got {scores.min():g} to {scores.max():g}: "
            "divide a percentage by 100"
        )
    if not (np.abs(drops) <= 100).all():
        raise ValueError(
            "choose_rate needs acc_drop in points of accuracy, from -100 to 100, "
            f"got {drops.min():g} to {drops.max():g}"
        )
    if len(set(rates)) < len(rates) or not ((rates >= 0) & (rates < 1)).all():
        raise ValueError(
            "choose_rate needs different rates in [0, 1), of one criterion and CAM method, "
            f"got {short_repr(list(rates))}"
        )
    for name, value in {
        "max_accuracy_drop": max_accuracy_drop,
        "similar": similar,
    }.items():
        if not is_number(value) or not 0 <= value <= 1:
            raise ValueError(f"{name} must be a fraction in [0, 1], got {short_repr(value)}")


def _check_image_rows(rows: pd.DataFrame) -> None:
    """Raise TypeError or ValueError unless there is one row for each rate and image."""
    if not isinstance(rows, pd.DataFrame) or not {*_IMAGE_COLUMNS} <= set(rows.columns):
        raise TypeError(
            f"rows must be a DataFrame with the columns {', '.join(_IMAGE_COLUMNS)}, "
            f"got {short_repr(rows)}"
        )
    if not rows.columns.is_unique:
        raise ValueError("rows must have different columns, one of them comes twice")
    for name in ("rate", "pe"):
        as_numbers(f"rows: {name}", rows[name])
    if rows.duplicated(["rate", "image"]).any():
        raise ValueError(
            "rows must be of one criterion and CAM method, with one row for each rate and image: "
            "some come twice"
        )


def rate_choices(
    config: PeScoreConfig, curves: pd.DataFrame, rows: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the chosen rate for every data set, criterion and CAM method; the images to inspect.

    `curves` is the table of `score_tables.curves`, `rows` are the scores by image.
    """
    keys = ["dataset", "rule", "method"]
    of_criteria = curves[curves["rule"].isin(config.criteria)]
    chosen_rates = []
    images = []
    for key, part in of_criteria.groupby(keys, sort=False):
        dataset, rule, method = key
        is_model = (rows["dataset"] == dataset) & (rows["rule"] == rule)
        of_method = rows[is_model & (rows["method"] == method)]
        choice = choose_rate(part, config.max_accuracy_drop, rows=of_method)
        identity = dict(zip(keys, key, strict=True))
        chosen_rates.append(
            identity
            | {
                "rate": choice.rate,
                "verdict": choice.verdict,
                "why": choice.why,
            }
        )
        images.append(choice.images.rename(columns={"rate": "at"}).assign(**identity))
    return pd.DataFrame(chosen_rates), pd.concat(images, ignore_index=True)
