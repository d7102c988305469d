"""What the processes of the trials do: a small study, a small comparison, an example."""

import dataclasses
import hashlib
import shutil
from pathlib import Path

from pruncam._core.machine import Machine

_STUDY = {
    "train_images": 200,
    "test_images": 60,
    "levels": 3,
    "seeds": [1],
    "more_seeds": [],
    "pretraining": [[2, 0.02]],
    "retraining": [[1, 0.02]],
    "bootstrap": 100,
    "variants": [],
    "variant_seeds": 0,
    "more_datasets": [],
}
_IMAGES_PER_CLASS = 4


def study(out: Path) -> None:
    """Run a study of a few models and save its tables and one figure in `out`."""
    from pruncam.studies import mnist_iou

    config = mnist_iou.configure("quick", **_STUDY)
    result = mnist_iou.run(config, progress=False, machine=Machine(jobs=1))
    first = next(iter(result.drawings))
    dataclasses.replace(result, drawings={first: result.drawings[first]}).save(out)


def comparison(example: Path, out: Path) -> int:
    """Compare two checkpoints by the command line and write a report to `out`."""
    from pruncam import cli

    options = {
        "baseline": example / "baseline.pt",
        "pruned": example / "pruned.pt",
        "model": "pruncam:mnist_net",
        "data": example / "test",
        "train": example / "train",
        "methods": "grad-cam",
        "seeds": 1,
        "mean": 0.1307,
        "std": 0.3081,
        "out": out,
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    return cli.main(["compare", *words, "--epochs=1"])


def small_example(folder: Path) -> None:
    """Write the example of the comparison to `folder`, with few images."""
    from pruncam.comparison.example_pair import example_files

    whole = folder.with_name("whole")
    example_files(whole)
    for name in ("baseline.pt", "pruned.pt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(whole / name, folder / name)
    for split in ("train", "test"):
        for of_class in sorted((whole / split).iterdir()):
            target = folder / split / of_class.name
            target.mkdir(parents=True)
            for image in sorted(of_class.iterdir())[:_IMAGES_PER_CLASS]:
                shutil.copy(image, target / image.name)


def built_in_example(checksum: Path) -> None:
    """Write the example of the comparison to the cache, and the checksum of its files."""
    from pruncam.comparison.example_pair import example_files

    folder = Path(example_files().baseline).parent
    checksum.write_text(contents(folder))


def contents(folder: Path, pattern: str = "*") -> str:
    """Return a checksum of the names and contents of the files of a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob(pattern)):
        if path.is_file():
            digest.update(f"{path.relative_to(folder)}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
