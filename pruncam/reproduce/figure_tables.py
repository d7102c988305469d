"""The tables behind the figures: which numbers a figure draws."""

from fnmatch import fnmatch
from pathlib import Path

# By study: pattern of a figure's name, and the tables it draws. Figures of images, and diagrams,
# have none. Results of older versions lack some of the tables.
_TABLES: dict[str, dict[str, tuple[str, ...]]] = {
    "csg": {
        "classes_*": ("classes", "confused"),
        "k_and_M": ("settings",),
        "pools": ("pools", "gaps"),
        "embeddings": ("distances",),
    },
    "sweeps": {
        "4": ("sweep",),
        "5": ("sweep",),
        "kept": ("sweep",),
        "complexity": ("complexity", "correlations"),
        "limits": ("limits",),
        "maps": ("maps",),
    },
    "sp2ps": {
        "1[0-3]": ("curves", "controls"),
        "curves_*": ("curves", "controls"),
        "shortcut": ("shortcut",),
    },
    "pe_score": {
        "[4578]": ("curves", "controls"),
        "curves_*": ("curves", "controls"),
    },
    "mnist_iou": {
        "3_[12]": ("figure_3_1",),
        "scatter": ("figure_3_1", "levels"),
        "control": ("figure_control", "levels"),
        "gallery": ("levels",),
        "readings": ("readings",),
        "cuts": ("cuts",),
        "seeds": ("levels", "seeds"),
        "datasets": ("figure_datasets",),
    },
    "comparison": {
        "crossed": ("1", "2", "3"),
        "same_models": ("same_models",),
    },
}


def tables_behind(figure: Path) -> list[Path]:
    """Return the files with the numbers that `<study>/figure_<name>.png` draws."""
    name = figure.stem.removeprefix("figure_")
    for pattern, tables in _TABLES.get(figure.parent.name, {}).items():
        if fnmatch(name, pattern):
            files = (figure.with_name(f"table_{table}.csv") for table in tables)
            return [file for file in files if file.is_file()]
    return []
