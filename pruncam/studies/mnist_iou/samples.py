"""The images that the figures show, chosen by a rule and not by eye, and their heatmaps at every level."""

from dataclasses import dataclass

import numpy as np
import torch

from pruncam import cams, metrics
from pruncam.studies.mnist_iou.chain import Chain, fits


@dataclass(frozen=True)
class Sample:
    """One test image with its noise and its heatmap and IoU at every level; pixels in [0, 1]."""

    index: int
    label: str
    image: np.ndarray  # (H, W)
    noisy: np.ndarray
    maps: np.ndarray  # (levels, H, W)
    iou: list[float]
    inverted: list[bool]


def choose(chain: Chain, scores: list[dict]) -> dict[str, list[Sample]]:
    """ "classes": the first test image of every class; "shown": of Figure 2.4, the first 8 (the class that the thesis
    shows); "early": of Figures 4.1 and 4.2, the first image whose heatmap is inverted at level 0.
    """
    labels = chain.test.labels.cpu()
    firsts = [int((labels == number).nonzero()[0]) for number in labels.unique()]
    eight = int((labels == 8).nonzero()[0]) if (labels == 8).any() else firsts[0]
    inverted = scores[0]["inverted"].nonzero()
    early = int(inverted[0]) if len(inverted) else eight
    found = _samples(chain, [*firsts, eight, early])
    return {"classes": found[:-2], "shown": [found[-2]], "early": [found[-1]]}


def _samples(chain: Chain, indices: list[int]) -> list[Sample]:
    chosen = torch.tensor(indices, device=chain.workshop.device)
    clean = chain.clean[chosen]
    noisy = chain.noisy[chosen]
    x = chain.config.inputs.normalised(noisy)
    maps = [
        cams.heatmaps(model, x, method=chain.config.method, target_layer=chain.config.target_layer)
        for model in chain.models
    ]
    iou = torch.stack([metrics.soft_iou(found, clean) for found in maps]).cpu()
    inverted = torch.stack([fits(found, clean)["inverted"] for found in maps]).cpu()
    stacked = torch.stack(maps, dim=1).cpu().numpy()
    return [
        Sample(
            index=index,
            label=chain.test.classes[int(chain.test.labels[index])],
            image=clean[k].cpu().numpy(),
            noisy=noisy[k, 0].cpu().numpy() / 255,
            maps=stacked[k],
            iou=iou[:, k].tolist(),
            inverted=inverted[:, k].tolist(),
        )
        for k, index in enumerate(indices)
    ]
