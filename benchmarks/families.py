"""Heatmaps of every family of classifiers in torchvision and timm, beside pytorch-grad-cam.

A row per family: its default target layer, the size of its maps, and the largest difference in any
pixel from the library, called by hand at the layer that the field names. As a program,
`python -m benchmarks.families FILE.md` writes the table as Markdown, and to FILE.csv as CSV.
"""

import sys
from pathlib import Path

import pandas as pd

from benchmarks._families import FAMILIES, LIBRARY, Family, reference_maps
from pruncam import cams
from pruncam.cams.target_layer import find_target_layer

HEADING = """# Heatmaps of every family of classifiers in torchvision and timm

A row per family, with random weights: the default target layer, the size of its maps in cells, its
channels, and the largest difference in any pixel from pytorch-grad-cam, which is called at the
layer that its README names. Maps lie in [0, 1]. `python -m benchmarks.families FILE.md` writes this
page.

"""


def run() -> pd.DataFrame:
    """Return a row per family."""
    return pd.DataFrame([_row(family) for family in FAMILIES])


def _row(family: Family) -> dict[str, str | int | float]:
    model, image = family.network()
    layer = find_target_layer(model, image, None)
    maps = cams.explain(model, image, methods=list(LIBRARY)).maps
    height, width = layer.map_size
    row: dict[str, str | int | float] = {
        "library": family.library,
        "network": family.name,
        "image": f"{family.size}x{family.size}",
        "layer": layer.name,
        "maps": f"{height}x{width}",
        "channels": layer.channels,
    }
    for method, values in maps.items():
        expected = reference_maps(family, model, image, method)
        row[method] = float((values - expected).abs().max())
    return row


def main(path: Path) -> None:
    """Write the table as Markdown and as CSV."""
    table = run()
    text = table.to_markdown(index=False, floatfmt=".1e")
    path.write_text(f"{HEADING}{text}\n", encoding="utf-8")
    table.to_csv(path.with_suffix(".csv"), index=False)
    print(f"written to {path} and {path.with_suffix('.csv')}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
