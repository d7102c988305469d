"""Class maps: which of a network's classes the images of a folder show."""

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pruncam.datasets.images import DataError

_EXPECTED = (
    "a class map is a text file with a class per line in the network's order, or JSON: such a "
    'list, {"name": number} or {"number": "name"}'
)
_WORDNET = re.compile(r"n\d{8}\b")  # the identifier of a class of ImageNet


@dataclass(frozen=True)
class ClassMap:
    """The numbers of a network's classes by the names of folders, and a name for each number.

    Several names may mean one class.
    """

    numbers: Mapping[str, int]
    names: Mapping[int, str]

    def number(self, folder: str) -> int:
        """Return the number of a folder's class. Raises DataError if the map has no such folder."""
        if folder not in self.numbers:
            known = ", ".join(list(self.numbers)[:4])
            raise DataError(
                f"the class map has no class {folder!r}, or several (it has {known}, ...): "
                "name the folders as in the map, or add the class"
            )
        return self.numbers[folder]

    @property
    def count(self) -> int:
        """Return the smallest number of classes that a network of this map can have."""
        return max(self.names) + 1

    def class_names(self, count: int) -> tuple[str, ...]:
        """Return the names of a network's classes; those that the map lacks are numbered."""
        return tuple(self.names.get(number, f"class {number}") for number in range(count))


def read_class_map(path: str | os.PathLike) -> ClassMap:
    """Read a class map from a text or JSON file.

    A text file has the name of a class on each line, in the order of the network's classes. A JSON
    file has a list of names in that order, names with their numbers (as torchvision's
    `class_to_idx`), numbers with their names (as `id2label`), or numbers with lists of names that
    mean the same class (as `imagenet_class_index.json`). In lines that begin with an identifier of
    ImageNet, such as "n01440764 tench", the identifier alone is a name, too.

    Raises DataError if the file is missing, is neither, or has no class.
    """
    path = Path(path).expanduser()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError(f"the class map {path} cannot be read ({error}): {_EXPECTED}") from error
    content = _parse_json(path, text) if path.suffix.lower() == ".json" else _lines(text)
    try:
        entries = _entries(content)
    except (TypeError, ValueError) as error:
        raise DataError(f"the class map {path} is invalid: {_EXPECTED}") from error
    return _class_map(path, entries)


def _parse_json(path: Path, text: str) -> Any:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise DataError(f"the class map {path} is no JSON ({error}): {_EXPECTED}") from error
    for key in ("id2label", "label2id"):  # of the file config.json of a model on Hugging Face
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            return content[key]
    return content


def _lines(text: str) -> list[str]:
    return text.rstrip("\n").split("\n")


def _entries(content: Any) -> list[tuple[int, list[str]]]:
    """Return the number and the names of each class. Raises TypeError or ValueError if invalid."""
    if isinstance(content, Mapping):
        if all(isinstance(value, int) for value in content.values()):
            return [(number, [name]) for name, number in content.items()]
        return [(int(number), _name_list(names)) for number, names in content.items()]
    if isinstance(content, list):
        return [(number, _name_list(names)) for number, names in enumerate(content)]
    raise TypeError("neither a list nor a dict")


def _name_list(names: Any) -> list[str]:
    """Return one name or several, which mean the same class, as a list."""
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TypeError("a name must be a text")
    stripped = [name.strip() for name in names]
    identifiers = [match[0] for name in stripped if (match := _WORDNET.match(name))]
    return list(dict.fromkeys([*stripped, *identifiers]))


def _class_map(path: Path, entries: Iterable[tuple[int, list[str]]]) -> ClassMap:
    numbers: dict[str, int] = {}
    names: dict[int, str] = {}
    ambiguous = set()  # as "crane", which is two classes of ImageNet
    for number, synonyms in entries:
        if number < 0:
            raise DataError(f"the class map {path} has the number {number}: they count from 0")
        for name in filter(None, synonyms):
            names.setdefault(number, name)
            if numbers.setdefault(name, number) != number:
                ambiguous.add(name)
    if not numbers:
        raise DataError(f"the class map {path} has no class: {_EXPECTED}")
    unique = {name: number for name, number in numbers.items() if name not in ambiguous}
    return ClassMap(unique, names)
