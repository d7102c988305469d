"""The IoU of maps that explain nothing, as a reference for all other values."""

import pandas as pd
import torch
from torch import Tensor

from pruncam import metrics
from pruncam._core.extras import needed_for
from pruncam._core.seeds import generator


def sanity_checks(clean: Tensor, noisy: Tensor, seed: int) -> pd.DataFrame:
    """Return the mean soft IoU of images (N, H, W) in [0, 1] with maps that no network made.

    `noisy` are the images with noise, (N, 1, H, W) uint8.
    """
    with needed_for("finding the edges of images", "studies"):
        from skimage.filters import sobel

    clean, noisy = clean.cpu(), noisy[:, 0].cpu().float() / 255
    edges = torch.from_numpy(sobel(clean.numpy(), axis=(1, 2))).to(clean)
    strongest = edges.amax((1, 2), keepdim=True).clamp(min=1e-12)
    random = torch.rand(clean.shape, generator=generator(seed, "random maps"))
    maps = {
        "the image itself": clean,
        "the noisy image, as the network sees it": noisy,
        "the image, inverted": 1 - clean,
        "the next image": clean.roll(-1, 0),
        "the mean of all images": clean.mean(0).expand_as(clean),
        "its edges (Sobel), scaled to 1": edges / strongest,
        "random pixels": random,
        "one everywhere": torch.ones_like(clean),
        "zero everywhere": torch.zeros_like(clean),
    }
    rows = [
        {"heatmap": name, "iou": metrics.soft_iou(heatmaps, clean).mean().item()}
        for name, heatmaps in maps.items()
    ]
    return pd.DataFrame(rows)
