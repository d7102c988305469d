"""Read a study's configuration from its profile's YAML file and check it against the type hints."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from pruncam._core import paths
from pruncam._core.text_files import INSTALL_AGAIN, read_yaml
from pruncam._core.validation import PROFILES, check_choice, short_repr

ConfigType = TypeVar("ConfigType")


def read_config(
    config_class: type[ConfigType], study: str, profile: str, overrides: dict[str, Any]
) -> ConfigType:
    """Return the study's configuration: the profile's YAML file, then the overrides.

    Lists become tuples, and mappings become the record that the field's type names, alone or as one
    of its options. A configuration with overrides has the profile "custom", so that its results
    never replace those of the profile.

    Raises ValueError for an unknown profile or field, a missing field, or a value of the wrong type
    (YAML reads 1e-3 as text: write 0.001).
    """
    if not dataclasses.is_dataclass(config_class) or not isinstance(config_class, type):
        raise TypeError(f"config_class must be a dataclass, got {short_repr(config_class)}")
    if not isinstance(overrides, Mapping) or not all(isinstance(key, str) for key in overrides):
        raise TypeError(f"overrides must be a dict of values by name, got {short_repr(overrides)}")
    check_choice("profile", profile, PROFILES)
    folder = paths.package_folder() / "profiles" / profile
    check_choice("study", study, sorted(path.stem for path in folder.glob("*.yaml")))
    file = folder / f"{study}.yaml"
    values = {"profile": "custom" if overrides else profile}
    values |= read_yaml(file, INSTALL_AGAIN) | overrides
    try:
        return _record(config_class, values)
    except _Misfit as misfit:
        place = study if overrides else f"{file}"
        raise ValueError(f"{place}: {misfit}") from None


class _Misfit(Exception):
    """A value that does not fit its type; the message says which and why."""


def _record(record_class: type, values: dict[str, Any]) -> Any:
    """Return an instance of a dataclass made from plain values."""
    hints = typing.get_type_hints(record_class)
    unknown = sorted(values.keys() - hints.keys())
    if unknown:
        raise _Misfit(f"no parameter {', '.join(unknown)}; known parameters are {', '.join(hints)}")
    fields = dataclasses.fields(record_class)
    missing = sorted(f.name for f in fields if _is_required(f) and f.name not in values)
    if missing:
        raise _Misfit(f"no value for {', '.join(missing)}")
    return record_class(**{name: _convert(name, v, hints[name]) for name, v in values.items()})


def _convert(name: str, value: Any, hint: Any) -> Any:
    """Return `value` as the type that `hint` names; raise _Misfit if it does not fit."""
    converted = _frozen(name, value, hint)
    if not _fits(converted, hint):
        raise _Misfit(f"{name} must be {_type_name(hint)}, got {short_repr(value)}")
    return converted


def _is_required(field: dataclasses.Field) -> bool:
    no_default = field.default is dataclasses.MISSING
    return no_default and field.default_factory is dataclasses.MISSING


def _frozen(name: str, value: Any, hint: Any) -> Any:
    """Return tuples for lists, records for mappings, and floats where the hint wants them."""
    record_class = _record_class(hint)
    if isinstance(value, dict) and record_class is not None:
        return _record(record_class, value)
    if isinstance(value, list | tuple):
        hints = typing.get_args(hint)
        item = hints[0] if hints and dataclasses.is_dataclass(hints[0]) else None
        return tuple(_frozen(name, entry, item) for entry in value)
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if hint is not float or not is_whole:
        return value
    try:
        return float(value)
    except OverflowError:
        raise _Misfit(f"{name} must be {_type_name(hint)}, got {short_repr(value)}") from None


def _record_class(hint: Any) -> type | None:
    """Return the dataclass that a hint names, alone or as one of several options."""
    options = typing.get_args(hint) if _is_union(hint) else (hint,)
    return next((option for option in options if dataclasses.is_dataclass(option)), None)


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (types.UnionType, typing.Union)


def _fits(value: Any, hint: Any) -> bool:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if _is_union(hint):
        return any(_fits(value, option) for option in inner)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        items = [inner[0]] * len(value) if inner[-1] is Ellipsis else inner
        return len(items) == len(value) and all(map(_fits, value, items))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _type_name(hint: Any) -> str:
    if _is_union(hint):
        return " | ".join(map(_type_name, typing.get_args(hint)))
    if hint is types.NoneType:
        return "None"
    if isinstance(hint, type) and not typing.get_args(hint):
        return hint.__name__
    return str(hint).replace("...", "…")
