"""What a model returns: its logits among several outputs, and their probabilities."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pruncam._core.validation import check_tensor, short_repr

# The part of a model's output that holds the logits: a position, a key or attribute, or a function.
Output = int | str | Callable[[Any], Tensor]

# Largest distance of a sum of probabilities from 1.
_SUM_TOLERANCE = 1e-4
_SUM_TOLERANCE_HALF = 1e-2


class OutputError(ValueError):
    """The model does not return logits (N, classes); `part` is the name of an output that may be.

    `part` is None if there is none.
    """

    def __init__(self, message: str, part: int | str | None = None) -> None:
        super().__init__(message)
        self.part = part


@contextmanager
def advice_on_output() -> Iterator[None]:
    """Add to an `OutputError` raised inside which part to select as `output`, if there is one."""
    try:
        yield
    except OutputError as error:
        if error.part is None:
            raise
        advice = f"pass output={error.part!r} to select the logits"
        raise OutputError(f"{error}: {advice}") from error


class LogitsOf(nn.Module):
    """A model reduced to one part of what it returns."""

    def __init__(self, model: nn.Module, output: Output) -> None:
        super().__init__()
        self.model = model
        self.output = output
        self.training = model.training

    def forward(self, images: Tensor) -> Tensor:
        """Return the selected output."""
        return select_output(self.model(images), self.output)


def select_output(value: Any, output: Output | None) -> Any:
    """Return the part `output` of what a model returned; None selects all of it.

    Raises ValueError if there is no such part.
    """
    if output is None:
        return value
    try:
        if callable(output):
            return output(value)
        if isinstance(output, str) and not isinstance(value, Mapping):
            return getattr(value, output)
        return value[output]
    except Exception as error:  # `output` may be any function of the user
        name = getattr(output, "__name__", short_repr(output))
        message = f"output={name} does not fit the model, which returns {describe(value)}"
        raise OutputError(message) from error


def check_output(output: object) -> None:
    """Raise TypeError unless `output` can select a part of what a model returns."""
    is_position = isinstance(output, int) and not isinstance(output, bool)
    if output is None or is_position or isinstance(output, str) or callable(output):
        return
    raise TypeError(
        "output must be a position, a key or attribute, or a function of what the model returns, "
        f"got {type(output).__name__}"
    )


def check_logits_shape(value: Any, images: int) -> None:
    """Raise OutputError unless `value` is a floating-point tensor (N, classes)."""
    if isinstance(value, Tensor) and value.ndim == 2 and len(value) == images:
        if value.is_floating_point():
            return
        raise OutputError(f"the model must return floating-point logits, got {value.dtype}")
    count = "one image" if images == 1 else f"{images} images"
    message = (
        f"the model must return logits of shape (N, classes), got {describe(value)} for {count}"
    )
    raise OutputError(message, _first_logits_part(value, images))


def describe(value: Any) -> str:
    """Return what a model returned, with the shapes of its parts, on one line."""
    if isinstance(value, Tensor):
        return str(tuple(value.shape))
    parts = dict(_parts(value))
    if not parts:
        return type(value).__name__
    shapes = ", ".join(f"{name!r} {_shape(part)}" for name, part in list(parts.items())[:5])
    return f"{type(value).__name__} with {shapes}"


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__


def _parts(value: Any) -> Iterator[tuple[int | str, Any]]:
    """Iterate over the names and values of the parts of an output."""
    if isinstance(value, Mapping):
        yield from value.items()
    elif hasattr(value, "_fields"):
        yield from zip(value._fields, value, strict=True)
    elif isinstance(value, tuple | list):
        yield from enumerate(value)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield field.name, getattr(value, field.name)


def _first_logits_part(value: Any, images: int) -> int | str | None:
    for name, part in _parts(value):
        if isinstance(part, Tensor) and part.ndim == 2 and len(part) == images:
            return name
    return None


def two_classes(logit: Tensor) -> Tensor:
    """Return the logits (N, 2) of both classes of a model with a single logit, (N,) or (N, 1).

    They are minus half and plus half of the logit: their softmax is the sigmoid of the logit and
    its complement, and the two classes are treated alike. To be passed as `output`. For a model
    that ends in a sigmoid, pass `lambda p: two_classes(p.logit())`.

    Raises ValueError if there is more than one logit per image, TypeError without a tensor.

    Examples
    --------
    >>> two_classes(torch.tensor([[2.0], [-4.0]]))
    tensor([[-1.,  1.],
            [ 2., -2.]])
    """
    check_tensor("logit", logit, "a tensor (N,) or (N, 1)")
    if logit.ndim not in (1, 2) or logit.ndim == 2 and logit.shape[1] != 1:
        raise ValueError(
            f"two_classes needs one logit per image, (N,) or (N, 1), got {tuple(logit.shape)}"
        )
    half = logit.reshape(-1, 1) / 2
    return torch.cat([-half, half], dim=1)


def class_probabilities(outputs: Tensor) -> Tensor:
    """Return the probabilities (N, classes) of a model's outputs (N, classes), at least float32.

    They are the softmax of the outputs; the outputs themselves if every row already is a
    distribution (non-negative, with a sum of 1), as those of a model that ends in a softmax.

    Raises ValueError for a single output per image, whose softmax is always 1, and for outputs that
    give no probabilities, such as NaN; TypeError if they are no tensor.

    Examples
    --------
    >>> class_probabilities(torch.tensor([[0.0, 0.0]]))
    tensor([[0.5000, 0.5000]])
    >>> class_probabilities(torch.tensor([[0.9, 0.1]]))
    tensor([[0.9000, 0.1000]])
    """
    check_tensor("outputs", outputs, "a floating-point tensor (N, classes)")
    if outputs.ndim != 2 or not outputs.is_floating_point() or outputs.numel() == 0:
        raise ValueError(
            "outputs must be a floating-point tensor (N, classes), "
            f"got {outputs.dtype} {tuple(outputs.shape)}"
        )
    if outputs.shape[1] == 1:
        raise ValueError(
            "the model has a single logit, which has no class probabilities: "
            "pass output=cams.two_classes to explain both classes of a sigmoid"
        )
    is_half = outputs.dtype in (torch.float16, torch.bfloat16)
    values = outputs.float() if is_half else outputs
    tolerance = _SUM_TOLERANCE_HALF if is_half else _SUM_TOLERANCE
    sums = values.sum(dim=1)
    if bool((values >= 0).all()) and bool(((sums - 1).abs() <= tolerance).all()):
        return values
    probabilities = values.softmax(dim=1)
    if bool(probabilities.isnan().any()):
        raise ValueError("outputs must be numbers, got NaN or infinity: they give no probabilities")
    return probabilities
