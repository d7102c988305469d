"""Values for the arguments of drawn calls, by kind: usual ones, likely mistakes, and the rest.

A `Kind` names values that are made anew for each call, since a call may change them. Likely values
are what a user might well pass by mistake; `ANYTHING` is passed everywhere.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from pruncam import metrics
from pruncam.comparison import Settings
from pruncam.datasets import ImageSet
from pruncam.networks import initialize
from pruncam.profiles import DatasetSpec
from pruncam.statistics import Interval
from pruncam.training import Checkpoint, Inputs, OneCycle, Recipe

Values = Mapping[str, Callable[[], Any]]

COUNT, CLASSES, SIDE = 4, 3, 12  # images, their classes, and their sides in pixels


@dataclass(frozen=True)
class Kind:
    """The values of one kind of argument: those that fit, and likely mistakes."""

    usual: Values
    likely: Values


def constants(*values: Any) -> Values:
    """Return values that need not be made anew, by their repr."""
    return {repr(value): partial(_itself, value) for value in values}


def _itself(value: Any) -> Any:
    return value


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Return uniform random numbers in [0, 1)."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


# ---------------------------------------------------------------- models


def network(seed: int = 0) -> nn.Sequential:
    """Return a classifier of grey images in three classes."""
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(24, CLASSES),
    )
    initialize(net, "pytorch", seed)
    return net.eval()


def _with_weight(value: float) -> nn.Module:
    net = network()
    with torch.no_grad():
        net[4].weight[0, 0] = value
    return net


def _flat(outputs: int = CLASSES) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, outputs)).eval()


class _Returns(nn.Module):
    """A network that returns something other than logits."""

    def __init__(self, change: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.net = network()
        self.change = change

    def forward(self, images: Tensor) -> Any:
        return self.change(self.net(images))


class _TwoInputs(nn.Module):
    """A network that takes two inputs."""

    def forward(self, images: Tensor, more: Tensor) -> Tensor:
        return (images + more).flatten(1)


def _constant() -> nn.Module:
    net = network()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    return net


_LIKELY_MODELS: Values = {
    "a function": lambda: lambda images: images.flatten(1),
    "a class": lambda: nn.Linear,
    "a state dict": lambda: network().state_dict(),
    "a path": lambda: "model.pt",
    "a network without convolution": _flat,
    "a network with one output": lambda: nn.Sequential(network(), nn.Linear(CLASSES, 1)).eval(),
    "a network with five classes": lambda: nn.Sequential(network(), nn.Linear(CLASSES, 5)).eval(),
    "a network of colour images": lambda: nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), _flat()),
    "a network that returns a tuple": lambda: _Returns(lambda logits: (logits, logits)),
    "a network that returns a dict": lambda: _Returns(lambda logits: {"out": logits}),
    "a network that ends in softmax": lambda: _Returns(lambda logits: logits.softmax(1)),
    "a network that ends in sigmoid": lambda: _Returns(torch.sigmoid),
    "a network of maps": lambda: nn.Conv2d(1, 3, 3),
    "a network in float64": lambda: network().double(),
    "a network in float16": lambda: network().half(),
    "a network in bfloat16": lambda: network().bfloat16(),
    "a network in train mode": lambda: network().train(),
    "a frozen network": lambda: network().requires_grad_(False),
    "a network with NaN": lambda: _with_weight(math.nan),
    "a network with infinity": lambda: _with_weight(math.inf),
    "a network with 1e38": lambda: _with_weight(1e38),
    "a network of zeros": _constant,
    "a list of networks": lambda: [network(), network()],
    "a dict of networks": lambda: {"net": network()},
    "masked by torch": lambda: _masked_by_torch(),
    "with weight norm": lambda: _with_weight_norm(),
    "in DataParallel": lambda: nn.DataParallel(network()),
}


def _masked_by_torch() -> nn.Module:
    from torch.nn.utils import prune

    net = network()
    prune.l1_unstructured(net[4], "weight", 0.5)
    return net


def _with_weight_norm() -> nn.Module:
    net = network()
    torch.nn.utils.parametrizations.weight_norm(net[4])
    return net


def _with_head(head: nn.Module) -> nn.Module:
    net = network()
    net[8] = head
    return net


def _scripted() -> nn.Module:
    return torch.jit.script(network())


_ODD_MODELS: Values = {
    "nn.Sequential()": nn.Sequential,
    "nn.Identity()": nn.Identity,
    "nn.ReLU()": nn.ReLU,
    "a network on meta": lambda: network().to("meta"),
    "a network of two inputs": _TwoInputs,
    "a lazy network": lambda: nn.Sequential(nn.LazyConv2d(2, 3), nn.Flatten(), nn.LazyLinear(3)),
    "a complex network": lambda: nn.Sequential(nn.Conv2d(1, 2, 3, dtype=torch.complex64)),
    "a network with a lazy head": lambda: _with_head(nn.LazyLinear(CLASSES)),
    "a network with a lazy norm": lambda: nn.Sequential(network(), nn.LazyBatchNorm1d()),
    "a scripted network": _scripted,
    "a frozen scripted network": lambda: torch.jit.freeze(_scripted()),
    "a network with a scripted head": lambda: _with_head(torch.jit.script(nn.Linear(24, CLASSES))),
    "a traced network": lambda: torch.jit.trace(network(), drawn(1, 1, SIDE, SIDE)),
    "a traced pruned network": lambda: torch.jit.trace(pruned(), drawn(1, 1, SIDE, SIDE)),
    "a network that returns None": lambda: _Returns(lambda logits: None),
    "a network that returns a list": lambda: _Returns(lambda logits: logits.tolist()),
    "a network that returns integers": lambda: _Returns(lambda logits: logits.long()),
    "a network that returns complex": lambda: _Returns(lambda logits: logits * 1j),
    "nn.ModuleList": lambda: nn.ModuleList([network()]),
    "nn.ModuleDict": lambda: nn.ModuleDict({"net": network()}),
    "nn.ParameterList": lambda: nn.ParameterList([torch.zeros(2)]),
}

MODEL = Kind(
    {"a network": network, "another network": lambda: network(1)}, _LIKELY_MODELS | _ODD_MODELS
)


def pruned(amount: float = 0.5) -> nn.Module:
    """Return a masked network."""
    from pruncam import pruning

    return pruning.global_unstructured(network(), amount)


PRUNED = Kind({"a pruned network": pruned}, MODEL.usual | MODEL.likely)
MODELS = Kind(
    {"{'a': a pruned network}": lambda: {"a": pruned()}},
    {
        "{}": dict,
        "[a network]": lambda: [network()],
        "a network": network,
        "{0: a network}": lambda: {0: network()},
        "{'a': None}": lambda: {"a": None},
        "{'': a network}": lambda: {"": network()},
        "{'a': five classes}": lambda: {"a": _LIKELY_MODELS["a network with five classes"]()},
        "{'a': with NaN}": lambda: {"a": _with_weight(math.nan)},
    },
)

# ---------------------------------------------------------------- tensors


def _one(tensor: Tensor, value: float) -> Tensor:
    tensor = tensor.clone()
    tensor.view(-1)[0] = value
    return tensor


def tensors(make: Callable[[], Tensor]) -> Values:
    """Return likely mistakes with a floating-point tensor."""
    return {
        "as an array": lambda: make().numpy(),
        "as lists": lambda: make().tolist(),
        "the first": lambda: make()[0],
        "one more axis": lambda: make()[None],
        "half of it": lambda: make()[: len(make()) // 2],
        "none of it": lambda: make()[:0],
        "flat": lambda: make().flatten(),
        "transposed": lambda: make().transpose(0, -1),
        "in float64": lambda: make().double(),
        "in float16": lambda: make().half(),
        "in bfloat16": lambda: make().bfloat16(),
        "in uint8": lambda: (255 * make()).to(torch.uint8),
        "in int64": lambda: make().long(),
        "as bool": lambda: make() > 0.5,
        "complex": lambda: make() * 1j,
        "with NaN": lambda: _one(make(), math.nan),
        "with infinity": lambda: _one(make(), math.inf),
        "with minus infinity": lambda: _one(make(), -math.inf),
        "with 1e38": lambda: _one(make(), 1e38),
        "all 1e38": lambda: torch.full_like(make(), 1e38),
        "all NaN": lambda: torch.full_like(make(), math.nan),
        "all zero": lambda: torch.zeros_like(make()),
        "all one": lambda: torch.ones_like(make()),
        "negative": lambda: -make(),
        "times 255": lambda: 255 * make(),
        "tiny": lambda: 1e-40 * make(),
        "with gradient": lambda: make().requires_grad_(),
        "a parameter": lambda: nn.Parameter(make()),
        "on meta": lambda: make().to("meta"),
        "sparse": lambda: make().to_sparse(),
        "in inference mode": lambda: _inference(make),
        "a scalar": lambda: make().sum(),
        "as a frame": lambda: pd.DataFrame(
            make().flatten(1).numpy() if make().ndim > 1 else make()
        ),
    }


def _inference(make: Callable[[], Tensor]) -> Tensor:
    with torch.inference_mode():
        return make().clone()


def tensor_kind(*shape: int, scale: float = 1.0, seed: int = 0) -> Kind:
    """Return the kind of a float tensor of this shape."""

    def make() -> Tensor:
        return scale * drawn(*shape, seed=seed)

    return Kind({f"floats {shape}": make}, tensors(make))


def _with(kind: Kind, likely: Values) -> Kind:
    return Kind(kind.usual, kind.likely | likely)


IMAGES = _with(
    tensor_kind(COUNT, 1, SIDE, SIDE),
    {
        "colour images": lambda: drawn(COUNT, 3, SIDE, SIDE),
        "2x2 pixels": lambda: drawn(COUNT, 1, 2, 2),
        "1x1 pixel": lambda: drawn(COUNT, 1, 1, 1),
        "no pixel": lambda: drawn(COUNT, 1, 0, SIDE),
        "wide images": lambda: drawn(COUNT, 1, SIDE, 2 * SIDE),
        "one image": lambda: drawn(1, 1, SIDE, SIDE),
        "a list of images": lambda: list(drawn(COUNT, 1, SIDE, SIDE)),
        "a pair": lambda: (drawn(COUNT, 1, SIDE, SIDE), torch.zeros(COUNT, dtype=torch.long)),
    },
)
IMAGE = Kind({"an image": lambda: drawn(1, 1, SIDE, SIDE)}, IMAGES.likely)


def _bytes(count: int = COUNT, channels: int = 1, side: int = SIDE) -> Tensor:
    return (255 * drawn(count, channels, side, side)).to(torch.uint8)


BYTE_IMAGES = Kind({"uint8 images": _bytes}, IMAGES.usual | IMAGES.likely)
MAPS = tensor_kind(COUNT, SIDE, SIDE)
OTHER_MAPS = tensor_kind(COUNT, SIDE, SIDE, seed=1)
VECTOR = tensor_kind(COUNT)
OTHER_VECTOR = tensor_kind(COUNT, seed=1)
THIRD_VECTOR = tensor_kind(COUNT, seed=2)
LOGITS = tensor_kind(COUNT, CLASSES)
PIXELS = Kind(
    {"bool pixels": lambda: drawn(COUNT, SIDE, SIDE) > 0.5},
    {"of one image": lambda: drawn(SIDE, SIDE) > 0.5} | MAPS.usual | MAPS.likely,
)


def _labels() -> Tensor:
    return torch.tensor([0, 1, 2, 1])


LABELS = Kind(
    {"labels": _labels},
    {
        "as a list": lambda: _labels().tolist(),
        "as an array": lambda: _labels().numpy(),
        "as a series": lambda: pd.Series(_labels().numpy()),
        "from 1": lambda: _labels() + 1,
        "beyond the classes": lambda: _labels() + 100,
        "unknown": lambda: _labels() - 1,
        "in int32": lambda: _labels().int(),
        "in uint8": lambda: _labels().to(torch.uint8),
        "in float32": lambda: _labels().float(),
        "with NaN": lambda: torch.tensor([0, 1, 2, math.nan]),
        "one-hot": lambda: torch.eye(CLASSES)[_labels()],
        "a column": lambda: _labels()[:, None],
        "fewer": lambda: _labels()[:2],
        "none": lambda: _labels()[:0],
        "one class": lambda: torch.zeros(COUNT, dtype=torch.long),
        "huge": lambda: torch.full((COUNT,), 2**62),
        "names": lambda: ["a", "b", "c", "b"],
        "on meta": lambda: _labels().to("meta"),
        "as bool": lambda: _labels() > 0,
        "a scalar": lambda: torch.tensor(1),
        "complex": lambda: _labels() * 1j,
        "mixed": lambda: [0, "1", None, 2],
        "whole floats": lambda: [0.0, 1.0, 2.0, 1.0],
        "an integer": lambda: 1,
    },
)
TARGETS = Kind({"None": lambda: None, "labels": _labels}, LABELS.likely)
CLASS_COUNTS = Kind(
    {"counts": lambda: torch.tensor([10, 20, 30])},
    {
        "as a list": lambda: [10, 20, 30],
        "as an array": lambda: np.array([10, 20, 30]),
        "floats": lambda: torch.tensor([1.0, 2.0, 3.0]),
        "with NaN": lambda: torch.tensor([1.0, math.nan, 3.0]),
        "negative": lambda: torch.tensor([10, -20, 30]),
        "zeros": lambda: torch.zeros(CLASSES),
        "one zero": lambda: torch.tensor([10, 0, 30]),
        "too few": lambda: torch.tensor([10, 20]),
        "too many": lambda: torch.tensor([10, 20, 30, 40]),
        "empty": lambda: torch.tensor([]),
        "huge": lambda: torch.tensor([1e308, 1e308, 1e308], dtype=torch.float64),
        "on meta": lambda: torch.ones(CLASSES, device="meta"),
        "as bool": lambda: torch.tensor([True, True, False]),
        "one axis more": lambda: torch.ones(CLASSES, 1),
        "complex": lambda: torch.ones(CLASSES) * 1j,
        "a dict": lambda: {0: 10, 1: 20, 2: 30},
        "a scalar": lambda: torch.tensor(3),
    },
)

# ---------------------------------------------------------------- numbers, names, functions

_NUMBERS = constants(
    -1, 0, 1, 2, 0.5, 1.5, -0.5, 100, 10**6, 2**63, 2**64, 10**400, -(2**70), math.nan, math.inf,
    -math.inf, 1e308, 5e-324, True, False, None, "1", "", "0.5",
)  # fmt: skip
_NUMBERS = _NUMBERS | {
    "np.int64(1)": lambda: np.int64(1),
    "np.uint8(1)": lambda: np.uint8(1),
    "np.float32(0.5)": lambda: np.float32(0.5),
    "np.float64('nan')": lambda: np.float64("nan"),
    "np.bool_(True)": lambda: np.bool_(True),
    "np.array(1)": lambda: np.array(1),
    "np.array([1, 2])": lambda: np.array([1, 2]),
    "torch.tensor(1)": lambda: torch.tensor(1),
    "torch.tensor([0.5, 1])": lambda: torch.tensor([0.5, 1]),
    "[1]": lambda: [1],
    "1j": lambda: 1j,
    "pd.NA": lambda: pd.NA,
}


def number(*usual: float | None) -> Kind:
    """Return the kind of a number."""
    return Kind(constants(*usual), _NUMBERS)


def flag(usual: bool) -> Kind:
    """Return the kind of a truth value."""
    return Kind(constants(usual, not usual), constants(0, 1, None, "yes", "False", 0.5, []))


def name(*usual: str | None) -> Kind:
    """Return the kind of a name: misspelt, in capitals, in a list, or none."""
    first = next(text for text in usual if text)
    return Kind(
        constants(*usual),
        constants(first.upper(), f"{first}x", f" {first}", first.replace("-", "_"), "", "unknown")
        | constants([first], (first, first), None, 0, b"x", {"a": 1}, "a\nb", "\0"),
    )


def names(*usual: tuple[str, ...], more: Values | None = None) -> Kind:
    """Return the kind of a list of names."""
    first = usual[0][0] if usual[0] else "a"
    mistakes = constants(first, (), [], ("unknown",), (first, first), (first.upper(),), None, 5)
    return Kind(
        constants(*usual),
        mistakes
        | constants((None,), ((first,),), {first: 1}, (1,), ("",))
        | {
            "a set": lambda: {first},
            "an array": lambda: np.array([first]),
            "a series": lambda: pd.Series([first]),
            "an iterator": lambda: iter([first]),
        }
        | (more or {}),
    )


SEED = number(0, 1)
SEEDS = Kind(
    constants((1,), [1, 2]),
    constants((), [], (1, 1), (-1,), (1.5,), (True, 1), ("1",), (None,), 3, None, "12", (2**64,))
    | {
        "np.arange(2)": lambda: np.arange(2),
        "[np.int64(1)]": lambda: [np.int64(1)],
        "range(2)": lambda: range(2),
        "a set": lambda: {1, 2},
        "a tensor": lambda: torch.arange(2),
        "equal in two types": lambda: (1, np.int64(1)),
    },
)
LAYER = Kind(
    constants(None, "4"),
    constants("9", "", "net.4", "8", "7", "0.weight", 4, ("4",), "conv", [])
    | {
        "a foreign module": lambda: nn.Conv2d(1, 1, 1),
        "an unused module": nn.ReLU,
        "a tensor": lambda: torch.zeros(2),
    },
)
BATCH_SIZE = number(None, 2)
OUTPUT = Kind(
    constants(None),
    constants(0, 1, -1, 5, "out", "logits", "", 1.5, True, ("out",))
    | {
        "a function": lambda: lambda logits: logits,
        "a function of two": lambda: lambda logits, more: logits,
        "a function to None": lambda: lambda logits: None,
        "a function that fails": lambda: lambda logits: logits.missing,
        "a function to one axis": lambda: lambda logits: logits[:, 0],
        "two classes": lambda: lambda logits: torch.cat([logits, -logits], 1),
    },
)
RESHAPE = Kind(
    constants(None),
    constants("vit", 0, ())
    | {
        "a function": lambda: lambda maps: maps,
        "a function to None": lambda: lambda maps: None,
        "a function to two axes": lambda: lambda maps: maps.flatten(1),
        "a function of two": lambda: lambda maps, more: maps,
        "a function that fails": lambda: lambda maps: maps.missing,
    },
)
CAM_METHODS = names(("grad-cam",), ("grad-cam", "ablation-cam"))
CAM_METHOD = name("grad-cam", "grad-cam++", "ablation-cam", "layer-cam", "hires-cam")
ENGINE = name("fast")


def _cam(model: Any, images: Tensor, layer: Any, targets: Any) -> Tensor:
    return torch.ones(len(images), *images.shape[2:])


CUSTOM_CAMS = Kind(
    {"{}": dict, "{'mine': a CAM}": lambda: {"mine": _cam}},
    constants(None, [], "mine")
    | {
        "{'mine': None}": lambda: {"mine": None},
        "{1: a CAM}": lambda: {1: _cam},
        "{'grad-cam': a CAM}": lambda: {"grad-cam": _cam},
        "a CAM": lambda: _cam,
        "a CAM to None": lambda: {"mine": lambda *arguments: None},
        "a CAM of two": lambda: {"mine": lambda model, images: images},
        "a CAM of the wrong shape": lambda: {"mine": lambda m, images, lay, t: images},
        "a CAM to NaN": lambda: {"mine": lambda *a: _cam(*a) * math.nan},
        "a CAM to 255": lambda: {"mine": lambda *a: _cam(*a) * 255},
        "a CAM to text": lambda: {"mine": lambda *a: "map"},
        "a CAM to lists": lambda: {"mine": lambda *a: _cam(*a).tolist()},
        "a CAM to integers": lambda: {"mine": lambda *a: _cam(*a).long()},
        "a CAM to ragged lists": lambda: {"mine": lambda *a: [[1], [1, 2]]},
    },
)
CUSTOM_SCORES = Kind(
    {"{}": dict, "{'mine': a score}": lambda: {"mine": lambda x, y: x.mean((1, 2))}},
    constants(None, [], "mine")
    | {
        "{'mine': None}": lambda: {"mine": None},
        "{1: a score}": lambda: {1: metrics.iou},
        "{'pe': a score}": lambda: {"pe": metrics.iou},
        "a score": lambda: metrics.iou,
        "a score to None": lambda: {"mine": lambda x, y: None},
        "a score of one": lambda: {"mine": lambda x: x},
        "a score to one number": lambda: {"mine": lambda x, y: 1.0},
        "a score to maps": lambda: {"mine": lambda x, y: x},
        "a score to NaN": lambda: {"mine": lambda x, y: x.mean((1, 2)) * math.nan},
        "a score to text": lambda: {"mine": lambda x, y: ["a"] * len(x)},
        "a score to complex": lambda: {"mine": lambda x, y: x.mean((1, 2)) * 1j},
    },
)
TRANSFORM = Kind(
    constants(None),
    constants("normalise", 5)
    | {
        "a function": lambda: lambda images: images,
        "a function to None": lambda: lambda images: None,
        "a function to one image": lambda: lambda images: images[0],
        "a function of two": lambda: lambda images, labels: images,
        "a function to uint8": lambda: lambda images: images.byte(),
        "a function to NaN": lambda: lambda images: images * math.nan,
    },
)


class _Training:
    """A fine-tuning that is made, but never run."""

    def __init__(self, model: nn.Module, seed: int) -> None:
        self.model, self.seed = model, seed


FINETUNE = Kind(
    {"a function": lambda: lambda model, seed: None},
    constants(None, "train", 3)
    | {
        "a function of one": lambda: lambda model: model,
        "a class": lambda: _Training,
        "a function to a number": lambda: lambda model, seed: 0.5,
        "a function to another model": lambda: lambda model, seed: _flat(),
    },
)

# ---------------------------------------------------------------- arrays and tables


def series(count: int = 8, seed: int = 0) -> Kind:
    """Return the kind of one-dimensional numbers."""

    def make() -> np.ndarray:
        return np.random.default_rng(seed).random(count)

    return Kind(
        {"numbers": make},
        {
            "as a list": lambda: make().tolist(),
            "as a series": lambda: pd.Series(make()),
            "as a tensor": lambda: torch.from_numpy(make()),
            "as a frame": lambda: pd.DataFrame({"a": make()}),
            "as text": lambda: [str(value) for value in make()],
            "dates": lambda: pd.date_range("2020-01-01", periods=count),
            "shorter": lambda: make()[:3],
            "two": lambda: make()[:2],
            "one": lambda: make()[:1],
            "none": lambda: make()[:0],
            "two axes": lambda: make()[:, None],
            "in float16": lambda: make().astype(np.float16),
            "in float32": lambda: make().astype(np.float32),
            "integers": lambda: np.arange(count),
            "bools": lambda: make() > 0.5,
            "complex": lambda: make() * 1j,
            "objects": lambda: np.array([None, *make()[1:]], dtype=object),
            "mixed": lambda: ["a", *make()[1:]],
            "ragged": lambda: [[1.0], [1.0, 2.0]],
            "with NaN": lambda: np.array([math.nan, *make()[1:]]),
            "with infinity": lambda: np.array([math.inf, *make()[1:]]),
            "with None": lambda: [None, *make()[1:]],
            "with pd.NA": lambda: pd.Series([pd.NA, *make()[1:]]),
            "huge": lambda: make() * 1e308,
            "tiny": lambda: make() * 5e-324,
            "all equal": lambda: np.ones(count),
            "with gradient": lambda: torch.from_numpy(make()).requires_grad_(),
            "on meta": lambda: torch.zeros(count, device="meta"),
            "an iterator": lambda: iter(make()),
            "a set": lambda: set(make()),
            "a dict": lambda: dict(enumerate(make())),
            "masked": lambda: np.ma.masked_less(make(), 0.5),
            "a scalar": lambda: 0.5,
            "text": lambda: "1 2 3",
        },
    )


def matrix(rows: int = 6, columns: int = 8, seed: int = 0) -> Kind:
    """Return the kind of a table of numbers without names."""

    def make() -> np.ndarray:
        return np.random.default_rng(seed).random((rows, columns))

    vectors = series(columns)
    return Kind(
        {"numbers": make},
        {
            "one axis more": lambda: make()[None],
            "transposed": lambda: make().T,
            "one row": lambda: make()[:1],
            "no row": lambda: make()[:0],
            "no column": lambda: make()[:, :0],
            "a frame": lambda: pd.DataFrame(make()),
            "NaN": lambda: np.where(make() < 0.1, math.nan, make()),
            "infinity": lambda: np.where(make() < 0.1, math.inf, make()),
            "huge rows": lambda: make() * 1e308,
            "equal rows": lambda: np.ones((rows, columns)),
            "a tensor": lambda: torch.from_numpy(make()),
            "three axes": lambda: make()[:, :, None],
            "in bfloat16": lambda: torch.from_numpy(make()).bfloat16(),
        }
        | vectors.likely,
    )


def frames(make: Callable[[], pd.DataFrame]) -> Kind:
    """Return the kind of a data frame: doubled or missing rows and columns, other types."""

    def changed(column: int, value: Any, row: int | None = None) -> pd.DataFrame:
        frame = make().astype(object)
        label = frame.columns[column % len(frame.columns)]
        if row is None:
            frame[label] = value
        else:
            frame.loc[frame.index[row], label] = value
        return frame.infer_objects()

    likely: dict[str, Callable[[], Any]] = {
        "no row": lambda: make().iloc[:0],
        "one row": lambda: make().iloc[:1],
        "doubled rows": lambda: pd.concat([make(), make()], ignore_index=True),
        "doubled rows and index": lambda: pd.concat([make(), make()]),
        "the first row twice": lambda: pd.concat([make(), make().iloc[:1]]),
        "shuffled": lambda: make().sample(frac=1, random_state=0),
        "another index": lambda: make().set_index(np.arange(len(make())) + 100),
        "a doubled column": lambda: pd.concat([make(), make().iloc[:, :1]], axis=1),
        "every column twice": lambda: pd.concat([make(), make()], axis=1),
        "names in capitals": lambda: make().rename(columns=str.upper),
        "numbered columns": lambda: make().set_axis(range(make().shape[1]), axis=1),
        "an index of two levels": lambda: make().set_index(list(make().columns[:2])),
        "columns of two levels": lambda: pd.concat({"a": make()}, axis=1),
        "as text": lambda: make().astype(str),
        "a dict": lambda: make().to_dict("list"),
        "records": lambda: make().to_dict("records"),
        "an array": lambda: make().to_numpy(),
        "one column": lambda: make().iloc[:, 0],
        "transposed": lambda: make().T,
        "grouped": lambda: make().groupby(make().columns[0], observed=True),
    }
    for position, label in enumerate(make().columns):
        likely[f"without {label}"] = partial(_without, make, label)
        likely |= {
            f"{label}: {text}": partial(changed, position, value, row)
            for text, value, row in (
                ("NaN", math.nan, 0),
                ("all NaN", math.nan, None),
                ("None", None, 0),
                ("pd.NA", pd.NA, 0),
                ("infinite", math.inf, 0),
                ("negative", -1, 0),
                ("-0.5", -0.5, 0),
                ("percent", 95.0, None),
                ("1e308", 1e308, 0),
                ("text", "a", 0),
                ("all text", "a", None),
                ("bool", True, None),
                ("huge", 2**70, 0),
                ("zero", 0, None),
            )
        }
    return Kind({"a table": make}, likely)


def _without(make: Callable[[], pd.DataFrame], label: str) -> pd.DataFrame:
    return make().drop(columns=label)


def score_rows() -> pd.DataFrame:
    """Return rows as `scoring.score` returns them."""
    generator = np.random.default_rng(0)
    count = 6
    rows = pd.DataFrame({"method": "grad-cam", "image": np.arange(count), "label": [0, 1, 2] * 2})
    for column in metrics.SCORES:
        rows[column] = generator.random(count)
    return rows.assign(
        baseline_empty=False,
        pruned_empty=[False] * 5 + [True],
        baseline_prediction=[0, 1, 2] * 2,
        pruned_prediction=[0, 1, 1] * 2,
    )


def rate_table() -> pd.DataFrame:
    """Return a table of one criterion for `choose_rate`."""
    return pd.DataFrame(
        {"rate": [0.2, 0.5, 0.8], "acc_drop": [0.1, 0.8, 5.0], "pe": [0.97, 0.93, 0.6]}
    )


def rate_rows() -> pd.DataFrame:
    """Return scores by image for `choose_rate`."""
    rows = [
        {"rate": rate, "image": image, "label": image % 2, "pe": 1 - rate / (2 + image)}
        for rate in (0.2, 0.5, 0.8)
        for image in range(3)
    ]
    return pd.DataFrame(rows)


def sweep_table() -> pd.DataFrame:
    """Return a table of several data sets for `safe_rate`."""
    rows = [
        {"dataset": name, "csg": csg, "rate": rate, "acc_drop": csg * rate * 2}
        for name, csg in zip("abcd", (0.5, 1.0, 2.0, 4.0), strict=True)
        for rate in (0.2, 0.5, 0.8)
    ]
    return pd.DataFrame(rows)


# ---------------------------------------------------------------- records and files


def _records(record: type, usual: Mapping[str, Callable[[], Any]]) -> Kind:
    return Kind(
        usual,
        {f"the class {record.__name__}": lambda: record, "a dict": lambda: {"a": 1}}
        | constants(None, "name", ()),
    )


RECIPE = _records(
    Recipe,
    {
        "a recipe": lambda: Recipe(((1, 0.01),), 2),
        "one cycle": lambda: Recipe(OneCycle(1, 0.01), 2, optimizer="adam", shift=1, mirror=True),
    },
)
INPUTS = _records(Inputs, {"inputs": Inputs, "noise": lambda: Inputs(51, 0.5, 0.5)})
CHECKPOINT = _records(Checkpoint, {"None": lambda: None})
SETTINGS = _records(
    Settings,
    {
        "settings": lambda: Settings(
            methods=("grad-cam",), mean=(0.0,), std=(1.0,), bootstrap=100, seeds=(1,)
        )
    },
)
DATASETS = Kind(
    {"a data set": lambda: (DatasetSpec("CIFAR-10", "generated-10", 32, 8),)},
    constants((), None, "mnist", ("mnist",), 5)
    | {
        "twice": lambda: (DatasetSpec("A", "digits", 32, 8),) * 2,
        "of 7 pixels": lambda: (DatasetSpec("A", "digits", 7, 8),),
        "without width": lambda: (DatasetSpec("A", "digits", 32),),
        "a list of dicts": lambda: [{"paper": "A", "source": "digits", "size": 32, "width": 8}],
        "a dict with an unknown field": lambda: [{"paper": "A", "source": "digits", "sise": 32}],
        "a dict without source": lambda: [{"paper": "A"}],
        "a dict of text": lambda: [{"paper": "A", "source": "digits", "size": "32"}],
    },
)
INTERVAL = _records(Interval, {"an interval": lambda: Interval(0.5, 0.4, 0.6)})
SCHEDULE = Kind(
    constants(((1, 0.01),), [[2, 0.1], [1, 0.01]]),
    constants((), (1, 0.01), ((0, 0.1),), ((1, 0.0),), ((1, math.nan),), ((1.5, 0.1),), 5, None)
    | constants(((1,),), "1,0.1", ((1, "0.1"),), ((True, 0.1),), ((1, -0.1),), ((10**30, 0.1),))
    | {"one cycle": lambda: OneCycle(1, 0.1), "an array": lambda: np.array([[1, 0.1]])},
)


def image_set(count: int = COUNT) -> ImageSet:
    """Return a few labelled images."""
    return ImageSet("drawn", "test", _bytes(count), _labels()[:count], ("a", "b", "c"), "drawn")


IMAGE_SET = Kind(
    {"an image set": image_set},
    {
        "a single image": lambda: image_set(1),
        "a tensor": lambda: _bytes(),
        "a pair": lambda: (_bytes(), _labels()),
        "a path": lambda: "images",
        "a list": lambda: [_bytes()],
        "an iterator of pairs": lambda: iter([(_bytes(), _labels())]),
    },
)
ANY_IMAGES = Kind(
    IMAGES.usual | BYTE_IMAGES.usual,
    IMAGES.likely
    | IMAGE_SET.usual
    | IMAGE_SET.likely
    | {
        "batches": lambda: [(drawn(2, 1, SIDE, SIDE), torch.tensor([0, 1]))] * 2,
        "batches of several sizes": lambda: [drawn(2, 1, SIDE, SIDE), drawn(2, 1, 9, 9)],
        "batches with text": lambda: [(drawn(2, 1, SIDE, SIDE), ["a", "b"])],
        "batches of None": lambda: [None],
        "batches of dicts": lambda: [{"image": drawn(2, 1, SIDE, SIDE)}],
        "a loader": lambda: torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(drawn(COUNT, 1, SIDE, SIDE), _labels()), 2
        ),
        "a generator": lambda: (batch for batch in [drawn(2, 1, SIDE, SIDE)]),
        "Path('images')": lambda: Path("images"),
        "this folder": lambda: Path(__file__).parent,
        "this file": lambda: __file__,
    },
)
PATH = Kind(
    {"a missing file": lambda: "/nonexistent/file.pt"},
    constants("", ".", "/", "a\0b", "x" * 5000, "~", "/proc/self/mem", "/dev/null", None, 5, b"x")
    | {
        "this file": lambda: __file__,
        "this folder": lambda: Path(__file__).parent,
        "Path('')": lambda: Path(),
        "a list": lambda: ["a.pt"],
    },
)
STATE = Kind(
    {"a state": lambda: network().state_dict()},
    {
        "a pruned state": lambda: pruned().state_dict(),
        "a state of another network": lambda: _flat().state_dict(),
        "a smaller state": lambda: dict(list(network().state_dict().items())[1:]),
        "with None": lambda: network().state_dict() | {"0.weight": None},
        "with lists": lambda: {k: v.tolist() for k, v in network().state_dict().items()},
        "with arrays": lambda: {k: v.numpy() for k, v in network().state_dict().items()},
        "with numbers as names": lambda: dict(enumerate(network().state_dict().values())),
        "with NaN": lambda: _with_weight(math.nan).state_dict(),
        "in float16": lambda: network().half().state_dict(),
        "on meta": lambda: network().to("meta").state_dict(),
        "with a scalar": lambda: network().state_dict() | {"0.weight": torch.tensor(1.0)},
        "with integers": lambda: {k: v.long() for k, v in network().state_dict().items()},
        "with complex": lambda: network().state_dict() | {"0.bias": torch.ones(4) * 1j},
        "a network": network,
        "items": lambda: list(network().state_dict().items()),
        "{}": dict,
    },
)
MASKS = Kind(
    {"masks": lambda: {"4.weight": torch.ones(6, 4, 3, 3)}},
    {
        "bool": lambda: {"4.weight": torch.ones(6, 4, 3, 3) > 0},
        "of an unknown weight": lambda: {"5.weight": torch.ones(6, 4, 3, 3)},
        "of a layer": lambda: {"4": torch.ones(6, 4, 3, 3)},
        "of the wrong shape": lambda: {"4.weight": torch.ones(6)},
        "of halves": lambda: {"4.weight": torch.full((6, 4, 3, 3), 0.5)},
        "of NaN": lambda: {"4.weight": torch.full((6, 4, 3, 3), math.nan)},
        "None": lambda: {"4.weight": None},
        "lists": lambda: {"4.weight": torch.ones(6, 4, 3, 3).tolist()},
        "arrays": lambda: {"4.weight": np.ones((6, 4, 3, 3))},
        "on meta": lambda: {"4.weight": torch.ones(6, 4, 3, 3, device="meta")},
        "complex": lambda: {"4.weight": torch.ones(6, 4, 3, 3) * 1j},
        "of a bias": lambda: {"4.bias": torch.ones(6)},
        "numbered": lambda: {4: torch.ones(6, 4, 3, 3)},
        "a tensor": lambda: torch.ones(6),
        "{}": dict,
        "a list": lambda: [("4.weight", torch.ones(6, 4, 3, 3))],
    },
)
ANYTHING: Values = constants(
    None, True, -1, 0, 3, 10**30, 0.5, math.nan, math.inf, 1j, "", "text", b"bytes", (), [], {},
    [None], ["a"], [[1], [2, 3]], {"a": None}, Ellipsis,
) | {
    "object()": object,
    "a function": lambda: lambda *arguments: None,
    "a class": lambda: int,
    "a tensor of one number": lambda: torch.tensor(0.5),
    "a tensor of NaN": lambda: torch.tensor([math.nan]),
    "an empty tensor": lambda: torch.empty(0),
    "a meta tensor": lambda: torch.empty(2, device="meta"),
    "an array of objects": lambda: np.array([None, "a"], dtype=object),
    "an empty array": lambda: np.empty(0),
    "an array of text": lambda: np.array(["a", "b"]),
    "np.float64(nan)": lambda: np.float64("nan"),
    "an empty frame": pd.DataFrame,
    "a frame": lambda: pd.DataFrame({"a": [1]}),
    "a series": lambda: pd.Series([1.0]),
    "a path": lambda: Path("missing"),
    "a module": lambda: nn.Linear(2, 2),
    "pd.NA": lambda: pd.NA,
    "a generator": lambda: (value for value in (1, 2)),
    "an exception": ValueError,
}  # fmt: skip
