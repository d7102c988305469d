"""The weights of a checkpoint under the names of a network.

Wrappers put prefixes before the names: DataParallel ("module."), torch.compile ("_orig_mod."),
Lightning (the attribute's name, "model."), and so do dicts that hold state dicts. The prefix is
found from the network: it is the one under which the checkpoint has all of its names.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pruncam.comparison.checkpoints import Checkpoint
from pruncam.comparison.folded_weights import fold

_COUNTER = "num_batches_tracked"  # of BatchNorm, missing in old checkpoints
# What tools leave in a state dict: counts of thop, of averaged models, and PyTorch's BatchNorm.
_IGNORED = ("total_ops", "total_params", "n_averaged", _COUNTER)
# Parts of the name of weights that are averages of others.
_AVERAGES = {"ema", "swa", "avg", "average", "averaged", "teacher", "momentum"}
_WRAPPERS = (("_orig_mod",), ("_orig_mod", "module"))
_LISTED = 3  # names in an error message


@dataclass(frozen=True)
class NamedWeights:
    """Weights under the names of a network, and where in the file they are.

    `location` is the prefix of their names in the file, without the last dot. `others` are the
    locations of other weights that fit the network, `unused` the names of tensors beside the
    weights that do not.
    """

    state: dict[str, Tensor]
    location: str
    others: tuple[str, ...]
    unused: tuple[str, ...]

    def describe(self) -> str:
        """Return the location in words, with what was not used."""
        text = self.location or "the state dict"
        if self.others:
            text += f"; not used: {', '.join(self.others)}"
        if self.unused:
            more = ", ..." if len(self.unused) > _LISTED else ""
            text += f"; no part of the network: {', '.join(self.unused[:_LISTED])}{more}"
        return text


def find_weights(
    checkpoint: Checkpoint, expected: Collection[str], location: str | None = None
) -> NamedWeights:
    """Return the weights of a checkpoint under the names of a network's state dict.

    Parameters
    ----------
    checkpoint : Checkpoint
    expected : names of the network's state dict
    location : str, optional
        Which weights to use if the checkpoint holds several that fit, such as "state_dict_ema". By
        default those whose name does not say that they are averages of others.

    Raises ValueError if no weights fit, or several do.
    """
    names = [name for name in expected if not name.endswith(_COUNTER)]
    versions = list(_versions(checkpoint))
    for tensors in versions:
        prefixes = tensors.complete_prefixes(names)
        if prefixes:
            prefix = _choose(tensors, prefixes, names, location)
            return _named(tensors, prefix, prefixes, expected)
    raise ValueError(_misfit(versions[0], names))


@dataclass(frozen=True)
class _Tensors:
    """The tensors of a checkpoint by their complete names, and the dict that holds each."""

    state: Mapping[str, Tensor]
    groups: Mapping[str, str]

    def prefixes(self, names: Sequence[str]) -> list[str]:
        """Return the prefixes under which one of the network's names occurs."""
        name = max(names, key=lambda name: name.count("."))
        return [
            complete.removesuffix(name)
            for complete in self.state
            if complete == name or complete.endswith(f".{name}")
        ]

    def complete_prefixes(self, names: Sequence[str]) -> list[str]:
        """Return the prefixes under which all of the network's names occur."""
        return [
            prefix for prefix in self.prefixes(names) if self.count(prefix, names) == len(names)
        ]

    def count(self, prefix: str, names: Sequence[str]) -> int:
        """Return how many of the network's names occur under a prefix."""
        return sum(prefix + name in self.state for name in names)


def _versions(checkpoint: Checkpoint) -> Iterator[_Tensors]:
    """Iterate over the tensors without the names of wrappers, as stored and with whole weights."""
    for wrappers in _WRAPPERS:
        for change in (dict, fold):
            state: dict[str, Tensor] = {}
            groups: dict[str, str] = {}
            for path, tensors in checkpoint.groups.items():
                for name, value in change(tensors).items():
                    complete = _without(f"{path}.{name}" if path else name, wrappers)
                    state.setdefault(complete, value)
                    groups.setdefault(complete, path)
            yield _Tensors(state, groups)


def _without(name: str, wrappers: Collection[str]) -> str:
    return ".".join(part for part in name.split(".") if part not in wrappers)


def _choose(
    tensors: _Tensors,
    prefixes: Sequence[str],
    names: Sequence[str],
    location: str | None,
) -> str:
    """Return the prefix of the weights to use, of those under which weights fit."""
    available = ", ".join(_location(prefix) for prefix in prefixes)
    if location is not None:
        chosen = [prefix for prefix in prefixes if f".{prefix}".find(f".{location}.") >= 0]
        if not chosen:
            raise ValueError(
                f"it has no weights of the network under {location!r}: they are under {available}"
            )
    else:
        chosen = [prefix for prefix in prefixes if not _is_average(prefix)] or list(prefixes)
    if len(chosen) > 1 and not _are_equal(tensors, chosen, names):
        raise ValueError(
            f"it holds several weights that fit, under {', '.join(map(_location, chosen))}: "
            "name one of them with --weights"
        )
    return chosen[0]


def _is_average(prefix: str) -> bool:
    return not _AVERAGES.isdisjoint(re.split(r"[._]", prefix.lower()))


def _are_equal(tensors: _Tensors, prefixes: Sequence[str], names: Sequence[str]) -> bool:
    """Return whether the weights under all prefixes are the same."""
    first, *others = prefixes
    return all(
        torch.equal(tensors.state[first + name], tensors.state[other + name])
        for other in others
        for name in names
    )


def _location(prefix: str) -> str:
    return prefix.rstrip(".") or "the top level"


def _named(
    tensors: _Tensors,
    prefix: str,
    prefixes: Sequence[str],
    expected: Collection[str],
) -> NamedWeights:
    """Return the weights under a prefix. Raises ValueError if there are others among them."""
    groups = {tensors.groups[prefix + name] for name in expected if prefix + name in tensors.state}
    others = [other for other in prefixes if other != prefix]
    state: dict[str, Tensor] = {}
    unknown: list[str] = []
    unused: list[str] = []
    for complete, value in tensors.state.items():
        name = complete.removeprefix(prefix)
        if complete.startswith(prefix) and (name in expected or _mask_of(name) in expected):
            state[name] = value
        elif tensors.groups[complete] not in groups or complete.endswith(_IGNORED):
            continue
        elif not any(complete.startswith(other) for other in others if other):
            (unknown if complete.startswith(prefix) else unused).append(complete)
    if unknown:
        raise ValueError(
            f"it also has {_some(unknown)}, which the network has not: "
            "build the network as it was trained, or save the weights of this network alone"
        )
    return NamedWeights(state, prefix.rstrip("."), tuple(map(_location, others)), tuple(unused))


def _mask_of(name: str) -> str:
    """Return the name of the weight that has a mask of this name."""
    return name.removesuffix("_mask")


def _misfit(tensors: _Tensors, names: Sequence[str]) -> str:
    """Return why no weights fit, with the first names of both sides."""
    prefix = max(
        tensors.prefixes(names), key=lambda prefix: tensors.count(prefix, names), default=""
    )
    known = [name for name in names if prefix + name in tensors.state]
    if 2 * len(known) < len(names):  # a few names may agree by chance
        return (
            f"its weights are named {_some(list(tensors.state))}, "
            f"those of the network {_some(names)}"
        )
    missing = [name for name in names if prefix + name not in tensors.state]
    place = f" under {prefix.rstrip('.')!r}" if prefix else ""
    text = (
        f"it has {len(known)} of the network's {len(names)} weights{place}, "
        f"but not {_some(missing)}"
    )
    unknown = [
        name
        for name in tensors.state
        if name.startswith(prefix)
        and name.removeprefix(prefix) not in names
        and not name.endswith(_IGNORED)
    ]
    return f"{text}; it also has {_some(unknown)}" if unknown else text


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
