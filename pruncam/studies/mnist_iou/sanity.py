"""What the IoU says of heatmaps that explain nothing: the frame in which every other number has to be read."""

import pandas as pd
import torch
from skimage.filters import sobel
from torch import Tensor

from pruncam import metrics
from pruncam.seeds import generator


def table(clean: Tensor, noisy: Tensor, seed: int) -> pd.DataFrame:
    """Mean soft IoU with the clean images (N, H, W), in [0, 1], of maps that no network made."""
    clean, noisy = clean.cpu(), noisy.cpu()
    edges = torch.from_numpy(sobel(clean.numpy(), axis=(1, 2))).to(clean)
    random = torch.rand(clean.shape, generator=generator(seed, "random maps"))
    maps = {
        "the image itself": clean,
        "the noisy image, as the network sees it": noisy,
        "the image, inverted": 1 - clean,
        "the next image": clean.roll(-1, 0),
        "the mean of all images": clean.mean(0).expand_as(clean),
        "its edges (Sobel), scaled to 1": edges / edges.amax((1, 2), keepdim=True).clamp(min=1e-12),
        "random pixels": random,
        "one everywhere": torch.ones_like(clean),
        "zero everywhere": torch.zeros_like(clean),
    }
    rows = [{"heatmap": name, "iou": metrics.soft_iou(found, clean).mean().item()} for name, found in maps.items()]
    return pd.DataFrame(rows)
