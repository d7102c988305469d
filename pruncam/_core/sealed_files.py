"""Files of `torch.save` that end with a seal: what they hold, and the SHA-256 of what precedes.

`torch.load` verifies nothing: one altered bit in the list of the archive's entries makes it return
memory that was never written. The seal is one line of JSON after the archive, which other readers
pass over.
"""

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

_LONGEST_SEAL = 4096  # bytes
_STORED_FLAGS = 0x0808  # those that `torch.save` sets: names in UTF-8, sizes after the data

Identity = Mapping[str, str]  # what a file holds, such as the step and its key


class Unusable(ValueError):
    """A file that cannot be used; the message is a reason without the file's name."""


def save(content: Any, path: Path, identity: Identity) -> None:
    """Write `content` and its seal. Raises OSError if that fails, such as on a full disk."""
    with path.open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:  # from the end of the archive, in place of the write's error
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise
    seal = {**identity, "sha256": _sha256(path, path.stat().st_size)}
    with path.open("ab") as file:
        file.write(b"\n" + json.dumps(seal).encode() + b"\n")


def load(path: Path, identity: Identity) -> Any:
    """Return the content of a file that `save` wrote with this identity.

    A file of an older version has no seal: the checksums of its entries are verified. Raises
    Unusable if a checksum is wrong or the file holds something else; the unpickler raises any kind
    of error.
    """
    seal, length = _read_seal(path)
    if seal is None:
        _check_entries(path)
    elif _sha256(path, length) != seal.pop("sha256"):
        raise Unusable("its SHA-256 is wrong")
    elif seal != identity:
        raise Unusable(f"it holds {_text(seal)} instead of {_text(identity)}")
    return torch.load(path, map_location="cpu", weights_only=True)


def _read_seal(path: Path) -> tuple[dict[str, str] | None, int]:
    """Return the seal, None without one, and the number of bytes before it."""
    size = path.stat().st_size
    start = max(size - _LONGEST_SEAL, 0)
    with path.open("rb") as file:
        file.seek(start)
        end = file.read()
    position = end.rfind(b"\n{")
    try:
        seal = json.loads(end[position:].decode())
    except ValueError:
        return None, size
    is_seal = position >= 0 and isinstance(seal, dict) and "sha256" in seal
    return (seal, start + position) if is_seal else (None, size)


def _sha256(path: Path, length: int) -> str:
    """Return the SHA-256 (hex) of the first `length` bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while length > 0 and (block := file.read(min(length, 2**20))):
            digest.update(block)
            length -= len(block)
    return digest.hexdigest()


def _check_entries(path: Path) -> None:
    """Raise BadZipFile or Unusable if an entry is damaged or not as `torch.save` writes it."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
        if damaged:
            raise zipfile.BadZipFile(damaged)
        for entry in archive.infolist():
            is_plain = (
                entry.external_attr == entry.internal_attr == 0
                and entry.compress_type == zipfile.ZIP_STORED
                and entry.flag_bits | _STORED_FLAGS == _STORED_FLAGS
            )
            if not is_plain:
                name = os.path.basename(entry.filename)
                raise Unusable(f"the attributes of its entry {name} are altered")


def _text(identity: Identity) -> str:
    return " ".join(str(value) for value in identity.values())
