"""Accuracy and F1 score of two classes, from the counts of their confusion matrix."""

from pruncam._core.validation import check_number


def binary_accuracy(tp: float, tn: float, fp: float, fn: float) -> float:
    """Return the share of correctly classified images of two classes (PE-score, Eq. 1).

    Parameters
    ----------
    tp, tn, fp, fn : numbers from 0, not all of them 0
        True positives, true negatives, false positives and false negatives.

    Raises
    ------
    TypeError, ValueError
        If a count is no number, negative or infinite, or all of them are 0.

    Examples
    --------
    >>> binary_accuracy(tp=850, tn=850, fp=150, fn=150)
    0.85
    """
    _check_counts(tp=tp, tn=tn, fp=fp, fn=fn)
    return (tp + tn) / (tp + tn + fp + fn)


def f1_score(tp: float, fp: float, fn: float) -> float:
    """Return the harmonic mean of precision and recall of the positive class, in [0, 1].

    True negatives do not enter: a model that is biased toward the positive class may gain by it.
    Exchange `fp` and `fn`, with `tn` for `tp`, for the F1 score of the negative class. Arguments
    and errors are those of `binary_accuracy`.

    Examples
    --------
    >>> f1_score(tp=850, fp=150, fn=150)
    0.85
    """
    _check_counts(tp=tp, fp=fp, fn=fn)
    return tp / (tp + fp / 2 + fn / 2)  # 2 tp may be larger than any float


def _check_counts(**counts: float) -> None:
    for name, value in counts.items():
        check_number(name, value, at_least=0)
    try:
        total = sum(counts.values())
    except OverflowError:  # a number and another that no float holds
        total = float("inf")
    if not 0 < total < float("inf"):
        names = ", ".join(counts)
        raise ValueError(f"{names} must be finite and not all of them 0, got a sum of {total}")
