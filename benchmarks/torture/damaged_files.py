"""The kinds of files that are damaged: how small ones are written, and how they are read."""

import gzip
import hashlib
import io
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from PIL import Image
from torchvision import datasets as torchvision_datasets

from pruncam import networks
from pruncam._core import checkpoint_files, paths
from pruncam._core.store import Step, Store
from pruncam.datasets import catalog, idx, image_folder
from pruncam.published import printed_tables, read_printed
from pruncam.training import Checkpoint
from pruncam.training.checkpoint import checksum

Read = Callable[[], str]  # returns a checksum of all that was read
_TRAINING = {"recipe": "some recipe", "seed": 1}


@dataclass(frozen=True)
class Kind:
    """A kind of file; `write` fills a folder and returns the files to damage, and how to read."""

    name: str
    write: Callable[[Path], tuple[list[Path], Read]]

    @property
    def slug(self) -> str:
        """Return the name as that of a folder."""
        return "".join(letter if letter.isalnum() else "-" for letter in self.name)

    def restore(self, path: Path, state: os.stat_result) -> None:
        """Give a file the time stamp that it had: what is decoded is stored under it."""
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def _digest(value: Any) -> str:
    """Return a checksum of tensors and plain values."""
    if isinstance(value, torch.Tensor):
        return checksum([value])
    if isinstance(value, dict):
        return repr({name: _digest(item) for name, item in sorted(value.items())})
    if isinstance(value, list | tuple):
        return repr([_digest(item) for item in value])
    return repr(value)


# ---------------------------------------------------------------- the cache


def _weights() -> dict[str, torch.Tensor]:
    return networks.initialize(networks.mnist_net(), "pytorch", 0).state_dict()


def _cached_weights(folder: Path) -> tuple[list[Path], Read]:
    store, step = Store(folder), Step("model", 1, {"seed": 0})
    store.get(step, _weights)
    return [store.path(step)], lambda: _digest(store.get(step, _weights).value)


def _older_weights(folder: Path) -> tuple[list[Path], Read]:
    """Write a stored step as versions without checksums did."""
    store, step = Store(folder), Step("model", 1, {"seed": 0})
    store.path(step).parent.mkdir(parents=True)
    torch.save({"value": _weights(), "seconds": 1.0}, store.path(step))
    content = store.path(step).read_bytes()

    def read() -> str:
        result = store.get(step, _weights)
        if result.fresh:
            store.path(step).write_bytes(content)
        return _digest(result.value)

    return [store.path(step)], read


def _unfinished(folder: Path) -> tuple[list[Path], Read]:
    checkpoint = Checkpoint(folder / "training.unfinished")
    state = {"model": _weights(), "epoch": 3}
    checkpoint.write(_TRAINING, state)

    def read() -> str:  # a damaged one counts as none: the training starts from the beginning
        found = checkpoint.read(_TRAINING)
        return _digest(state if found is None else found)

    return [checkpoint.path], read


# ---------------------------------------------------------------- data sets


def _pixels(count: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, *shape), dtype=np.uint8)


def _all_of(name: str, folder: Path) -> str:
    splits = [catalog.load(name, split, data_dir=folder) for split in ("train", "test")]
    return _digest([(images.images, images.labels, images.classes) for images in splits])


def _idx(folder: Path, packed: bool) -> tuple[list[Path], Read]:
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    sums, files = {}, []
    for images_file, labels_file in idx.FILES.values():
        images, labels = _pixels(20, 28, 28), np.arange(20, dtype=np.uint8) % 10
        for name, values in ((images_file, images), (labels_file, labels)):
            header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
            content = header + values.tobytes()
            sums[name] = hashlib.sha256(content).hexdigest()
            path = raw / (f"{name}.gz" if packed else name)
            path.write_bytes(gzip.compress(content) if packed else content)
            files.append(path)
    idx.CHECKSUMS["MNIST"] = sums
    return files, lambda: _all_of("mnist", folder)


def _cifar(folder: Path) -> tuple[list[Path], Read]:
    original = torchvision_datasets.CIFAR10
    base = folder / original.base_folder
    base.mkdir(parents=True)
    names = {"label_names": [f"class {number}" for number in range(10)]}
    contents = {original.meta["filename"]: pickle.dumps(names)}
    for number, (name, _) in enumerate([*original.train_list, *original.test_list]):
        part = {"data": _pixels(10 + number, 3072), "labels": [k % 10 for k in range(10 + number)]}
        contents[name] = pickle.dumps(part)
    sums = {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    for name, content in contents.items():
        (base / name).write_bytes(content)
    original.train_list = [[name, sums[name]] for name, _ in original.train_list]
    original.test_list = [[name, sums[name]] for name, _ in original.test_list]
    original.meta = {**original.meta, "md5": sums[original.meta["filename"]]}
    return [base / name for name in contents], lambda: _all_of("cifar10", folder)


def _images() -> dict[str, bytes]:
    """Return PNG files of two classes by path."""
    files = {}
    for number, pixels in enumerate(_pixels(8, 16, 16, 3)):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        files[f"{'ab'[number % 2]}/{number}.png"] = file.getvalue()
    return files


def _read_images(path: Path) -> str:
    images = image_folder.read(path).images
    pixels = torch.stack([images.images[number] for number in range(len(images))])
    return _digest([pixels, images.labels, images.classes])


def _zipped(folder: Path) -> tuple[list[Path], Read]:
    folder.mkdir()
    path = folder / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in _images().items():
            archive.writestr(name, content)
    return [path], lambda: _read_images(path)


def _packed(folder: Path) -> tuple[list[Path], Read]:
    folder.mkdir()
    path = folder / "images.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in _images().items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return [path], lambda: _read_images(path)


def _image_files(folder: Path) -> tuple[list[Path], Read]:
    for name, content in _images().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return sorted(folder.rglob("*.png")), lambda: _read_images(folder)


# ---------------------------------------------------------------- weights and numbers


def _package(folder: Path, part: str) -> Path:
    """Write a small copy of a part of the package, which is read in place of the original."""
    original = paths.package_folder() / part
    copy = folder / part
    copy.mkdir(parents=True)
    for path in original.iterdir():
        if path.is_file() and path.stat().st_size < 3e5:
            (copy / path.name).write_bytes(path.read_bytes())
    paths.package_folder = lambda: folder
    return copy


def _reference_network(folder: Path) -> tuple[list[Path], Read]:
    original = paths.package_folder
    weights = _package(folder, "weights")
    paths.package_folder = original
    name = min(weights.glob("*.safetensors"), key=lambda path: path.stat().st_size).stem

    def read() -> str:
        paths.package_folder = lambda: folder
        try:
            return _digest(dict(networks.load(name).state_dict()))
        finally:
            paths.package_folder = original

    return [weights / f"{name}.safetensors"], read


def _published(folder: Path) -> tuple[list[Path], Read]:
    original = paths.package_folder
    tables = _package(folder, "published")
    paths.package_folder = original

    def read() -> str:
        paths.package_folder = lambda: folder
        printed_tables.checksums.cache_clear()
        try:
            names = sorted(path.stem for path in tables.glob("*.csv"))
            return "\n".join(read_printed(name).to_csv() for name in names)
        finally:
            paths.package_folder = original

    return sorted(tables.glob("*.csv")), read


def _loaded(path: Path) -> str:
    checkpoint_files.verify(path)
    return _digest(dict(checkpoint_files.load(path)))


def _checkpoint(folder: Path) -> tuple[list[Path], Read]:
    folder.mkdir()
    path = folder / "pruned.pt"
    torch.save(dict(_weights()), path)
    return [path], lambda: _loaded(path)


def _safetensors(folder: Path) -> tuple[list[Path], Read]:
    folder.mkdir()
    path = folder / "pruned.safetensors"
    safetensors.torch.save_file(dict(_weights()), path)
    sums = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(f"{path.name}.sha256").write_text(f"{sums}  {path.name}\n")
    return [path], lambda: _loaded(path)


KINDS = (
    Kind("a stored step", _cached_weights),
    Kind("a stored step of an older version", _older_weights),
    Kind("the checkpoint of an unfinished training", _unfinished),
    Kind("IDX files", lambda folder: _idx(folder, packed=False)),
    Kind("IDX files, gzip", lambda folder: _idx(folder, packed=True)),
    Kind("CIFAR-10's files", _cifar),
    Kind("a zip of images", _zipped),
    Kind("a tar.gz of images", _packed),
    Kind("a folder of PNG images", _image_files),
    Kind("a reference network", _reference_network),
    Kind("a published table", _published),
    Kind("a checkpoint to compare, `torch.save`", _checkpoint),
    Kind("a checkpoint to compare, safetensors with its SHA-256", _safetensors),
)
