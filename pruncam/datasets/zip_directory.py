"""Whether the directory at the end of a zip lists what the zip holds.

A name in the directory has no checksum: one flipped bit moves an image into another class, and a
wrong length of a comment hides the entries that follow it. Every name stands a second time in the
header before its content, and the number of entries at the very end.
"""

import struct
import zipfile
from pathlib import Path

_END, _END_64, _HEADER = b"PK\5\6", b"PK\6\6", b"PK\3\4"
_TAIL = 2**16 + 2**7  # the longest comment of a zip, and the records before it
_HEADER_BYTES = 30
_IN_END_64 = 2**16 - 1  # the number of entries stands in the longer record
_UTF8 = 0x800  # the flag of a name in UTF-8; others are in code page 437


def check_directory(source: Path, archive: zipfile.ZipFile) -> None:
    """Raise BadZipFile if a zip holds other entries than its directory lists, or other names."""
    members = archive.infolist()
    with source.open("rb", buffering=0) as file:  # short reads at many places
        size = file.seek(0, 2)
        file.seek(max(size - _TAIL, 0))
        count = _entries(file.read())
        if len(members) % 2**16 != count % 2**16:  # older programs count no further
            raise zipfile.BadZipFile(
                f"its directory lists {len(members):,} entries, the record at its end {count:,}"
            )
        for member in members:
            file.seek(min(member.header_offset, size))
            header = file.read(_HEADER_BYTES + 4 * len(member.orig_filename))
            if _name(header) != member.orig_filename:
                name = member.orig_filename
                raise zipfile.BadZipFile(f"its directory lists {name!r}, which it does not hold")


def _entries(tail: bytes) -> int:
    """Return the number of entries, from the records at the end of a zip."""
    end = tail.rfind(_END)
    (count,) = struct.unpack_from("<H", tail, end + 10)
    end_64 = tail.rfind(_END_64, 0, end)
    if count == _IN_END_64 and end_64 >= 0:
        (count,) = struct.unpack_from("<Q", tail, end_64 + 32)
    return count


def _name(header: bytes) -> str | None:
    """Return the name in the header of an entry, None if it is no such header."""
    if len(header) < _HEADER_BYTES or not header.startswith(_HEADER):
        return None
    flags, length = struct.unpack_from("<6xH18xH", header)
    name = header[_HEADER_BYTES : _HEADER_BYTES + length]
    return name.decode("utf-8" if flags & _UTF8 else "cp437", errors="replace")
