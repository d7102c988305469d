"""Loading of a checkpoint file: its bytes are verified first, and nothing in it is executed."""

import hashlib
import pickletools
import re
import warnings
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import safetensors
import safetensors.torch
import torch

_SAVE = "save the weights with torch.save(model.state_dict(), 'weights.pt')"
_AGAIN = "copy or download it again"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ZIP_START = b"PK\x03\x04"
_LEGACY_PICKLES = 4  # at the start of a file of torch.save before PyTorch 1.6
# Modules whose names have no place in a checkpoint, whatever would be done with them.
_REJECTED_MODULES = frozenset(
    {
        "builtins",
        "commands",
        "ctypes",
        "importlib",
        "marshal",
        "nt",
        "os",
        "pickle",
        "posix",
        "pty",
        "runpy",
        "shutil",
        "socket",
        "subprocess",
        "sys",
        "webbrowser",
    }
)
_HARMLESS = frozenset(
    {
        "builtins.bool",
        "builtins.bytearray",
        "builtins.complex",
        "builtins.dict",
        "builtins.float",
        "builtins.frozenset",
        "builtins.getattr",
        "builtins.int",
        "builtins.list",
        "builtins.object",
        "builtins.range",
        "builtins.set",
        "builtins.slice",
        "builtins.str",
        "builtins.tuple",
        "builtins.type",
    }
)

# What is known about the bytes of a file.
CHECKED_BY_CRC = "CRC-32 of every tensor verified"
CHECKED_BY_SHA256 = "SHA-256 verified"
UNCHECKED = "not verified: the format has no checksums"


def verify(path: Path) -> tuple[str, str]:
    """Return the SHA-256 of a checkpoint, and what verified its bytes.

    A file of torch.save has a CRC-32 for each tensor. For any file, the SHA-256 is compared with
    that in `<file>.sha256` beside it, and with the name that Hugging Face's cache gives to files.

    Raises OSError or ValueError if there is no such file, if it is damaged, or obviously something
    else: empty, a Git LFS pointer, a web page.
    """
    _check_kind(path)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    expected = _expected_sha256(path)
    if expected is not None and sha256 != expected:
        raise ValueError(f"{path} is damaged (its SHA-256 is not {expected[:12]}...): {_AGAIN}")
    if _is_zip(path):
        _check_zip(path)
        return sha256, CHECKED_BY_CRC
    return sha256, UNCHECKED if expected is None else CHECKED_BY_SHA256


def load(path: Path) -> Any:
    """Return the content of a file of torch.save or safetensors, weights-only.

    Objects that are no weights, such as the arguments of a training, are replaced by inert
    stand-ins: no code of their classes is imported or run. Raises ValueError if the file cannot be
    loaded, or would have to run code to give weights.
    """
    if _is_safetensors(path):
        return _load_safetensors(path)
    names = _global_names(path)
    for name in names:
        if name.partition(".")[0] in _REJECTED_MODULES and name not in _HARMLESS:
            raise _contains(path, name)
    try:
        content = _load_with(path, names, _Inert)
    except ValueError:
        content = _load_with(path, names, _InertDict)  # for classes that are dicts
    _reject_models(path, content)
    return content


# ---------------------------------------------------------------- bytes


def _check_kind(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(f"no checkpoint {path}: pass a file of torch.save or safetensors")
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "no regular file"
        raise ValueError(f"{path} is {kind}: pass the file with the weights")
    if path.stat().st_size == 0:  # so are files of the kernel, such as /proc/self/mem
        raise ValueError(f"{path} is empty: {_AGAIN}")
    with path.open("rb") as file:
        start = file.read(256)
    if start.startswith(b"version https://git-lfs"):
        raise ValueError(f"{path} is a Git LFS pointer to the weights: get them with git lfs pull")
    if start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        raise ValueError(f"{path} is a web page: download the file itself")
    if start.startswith(b"\x1f\x8b"):
        raise ValueError(f"{path} is compressed: unpack it and pass the file with the weights")
    if start.startswith(_ZIP_START) and not _has_directory(path):
        raise ValueError(f"{path} is cut off: {_AGAIN}")


def _has_directory(path: Path) -> bool:
    """Return whether the directory at the end of a zip is there; it may be damaged."""
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:
        return True


def _expected_sha256(path: Path) -> str | None:
    """Return the SHA-256 that the file should have, if it is known."""
    beside = path.with_name(f"{path.name}.sha256")
    if beside.is_file():
        match = _SHA256.match(beside.read_text(errors="replace").strip().lower())
        if match:
            return match[0]
    real = path.resolve()
    if real.parent.name == "blobs" and _SHA256.fullmatch(real.name):
        return real.name
    return None


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == _ZIP_START


def _check_zip(path: Path) -> None:
    """Verify all checksums of a zip, which `torch.load` does not."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            members = {name.rpartition("/")[2] for name in archive.namelist()}
    except Exception as error:  # a damaged directory gives many kinds of errors
        raise ValueError(f"{path} is damaged ({_one_line(error)}): {_AGAIN}") from error
    if damaged is not None:
        raise ValueError(f"{path} is damaged (the checksum of {damaged} is wrong): {_AGAIN}")
    if "constants.pkl" in members:
        raise ValueError(
            f"{path} is a TorchScript program: load the Python model instead, and {_SAVE}"
        )
    if "data.pkl" not in members:
        raise ValueError(f"{path} is a zip that torch.save did not write: {_SAVE}")


# ---------------------------------------------------------------- safetensors


def _is_safetensors(path: Path) -> bool:
    """Return whether a file begins with the length of a header and the header, as JSON."""
    with path.open("rb") as file:
        start = file.read(9)
    return path.suffix == ".safetensors" or (len(start) == 9 and start[8:] == b"{")


def _load_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        tensors = safetensors.torch.load_file(path)
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except Exception as error:
        raise ValueError(f"{path} is damaged or cut off ({_one_line(error)}): {_AGAIN}") from error
    # A tensor with several names is stored once; the metadata have its other names.
    shared = {name: tensors[kept] for name, kept in metadata.items() if kept in tensors}
    return shared | tensors


# ---------------------------------------------------------------- pickles


class _Inert:
    """Stands for an object that is no weight; `name` is that of its class."""

    name = ""
    state: Any = None

    def __new__(cls, *_arguments: Any, **_options: Any) -> Any:
        return object.__new__(cls)

    def __init__(self, *_arguments: Any, **_options: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _InertDict(_Inert):
    """Stands for an object whose class is a kind of dict: calling it gives an empty dict."""

    def __new__(cls, *_arguments: Any, **_options: Any) -> Any:
        return OrderedDict()


def _load_with(path: Path, names: Iterable[str], stand_in: type[_Inert]) -> Any:
    """Load a file with stand-ins for the classes and functions of these names."""
    stand_ins: list[Callable | tuple[Callable, str]] = []
    for name in names:
        base = _Inert if name.startswith("numpy.") else stand_in
        stand_ins.append((type("StandIn", (base,), {"name": name}), name))
    try:
        # Warnings concern old formats: files that cannot be loaded raise an error anyway.
        with torch.serialization.safe_globals(stand_ins), warnings.catch_warnings(action="ignore"):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler may raise any exception
        blocked = re.search(r"GLOBAL ([\w.]+)", str(error))
        if blocked:
            raise _contains(path, blocked[1]) from error
        raise ValueError(
            f"{path} cannot be loaded as weights ({_one_line(error)}): it must be a file of "
            f"torch.save or safetensors; {_SAVE}"
        ) from error


def _global_names(path: Path) -> list[str]:
    """Return the names of all classes and functions in the pickles of a file.

    A file that is no pickle has none: it is left for `torch.load` to reject.
    """
    try:
        if not _is_zip(path):
            with path.open("rb") as file:
                return list(dict.fromkeys(_names_in(file, _LEGACY_PICKLES)))
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
            (pickle,) = [name for name in members if name.rpartition("/")[2] == "data.pkl"]
            with archive.open(pickle) as file:
                return list(dict.fromkeys(_names_in(file, 1)))
    except Exception:
        return []


def _names_in(file: IO[bytes], pickles: int) -> Iterable[str]:
    for _ in range(pickles):
        for operation, argument, _position in pickletools.genops(file):
            if operation.name == "GLOBAL":
                module, name = str(argument).split(" ")
                # Pickles of protocol 2 have the names of Python 2.
                module, name = NAME_MAPPING.get((module, name), (module, name))
                yield f"{IMPORT_MAPPING.get(module, module)}.{name}"


def _reject_models(path: Path, content: Any) -> None:
    """Raise ValueError if a file holds modules, which load only by running code."""
    entries = list(content.values()) if isinstance(content, Mapping) else []
    for entry in (content, *entries):
        state = entry.state if isinstance(entry, _Inert) else getattr(entry, "__dict__", {})
        if isinstance(state, Mapping) and "_modules" in state:
            kind = f" ({entry.name})" if isinstance(entry, _Inert) else ""
            raise ValueError(
                f"{path} holds a whole model{kind}, which only loads by running code: where you "
                f"trust it, load it with torch.load(file, weights_only=False), and {_SAVE}"
            )
    if isinstance(content, Mapping) and {"full_state_dict", "attributions"} <= content.keys():
        raise ValueError(
            f"{path} was written by torch_pruning.state_dict, which stores modules instead of "
            f"weights: load it with torch_pruning.load_state_dict, and {_SAVE}"
        )


def _contains(path: Path, name: str) -> ValueError:
    return ValueError(f"{path} contains {name}, but only weights are loaded: {_SAVE}")


def _one_line(error: Exception) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text[:120]
