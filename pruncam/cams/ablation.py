"""The weights that Ablation-CAM gives to the channels of a layer: what the target logit loses without each of them."""

import torch
from torch import Tensor

from pruncam.cams.channelwise import ChannelwiseHead
from pruncam.cams.passes import rows_within
from pruncam.cams.splitting import Cut, Hooked, Traced

_LIBRARY_BATCH = 32  # pytorch-grad-cam's own batch size, on which its maps depend
_LIBRARY_STEP = 1e7


def ablation_weights(network: Traced | Hooked, cut: Cut, targets: Tensor, to_zero: bool, bytes_per_row: int) -> Tensor:
    """Relative drop of each image's target logit when a channel is ablated, (N, K) (Desai & Ramaswamy 2020, Eq. 3).

    A negative logit turns the signs round, as in pytorch-grad-cam; a logit of 0 has no relative drop: weights 0.
    """
    first = _first_value(cut.activations.detach(), to_zero)
    score = cut.logits.detach().gather(1, targets[:, None])
    rows = rows_within(bytes_per_row, score.device)
    if network.channelwise is None:
        drop = score - _ablated_logits(network, cut, _values(first, cut.activations.shape[1]), targets, rows)
    else:
        lost = _lost_features(network.channelwise, cut, first)
        drop = _drop_by_share(network.channelwise, cut, lost, score, targets)
    return torch.where(score == 0, 0.0, drop / score)


def _first_value(activations: Tensor, to_zero: bool) -> Tensor:
    """What stands in for an image's first ablated channel, (N,): 0 where the smallest activation is exactly 0.

    Elsewhere pytorch-grad-cam subtracts 1e7 from the smallest, "deviating from the paper"; `to_zero` is the paper's.
    """
    lowest = activations.amin(dim=(1, 2, 3))
    return torch.where((lowest == 0) | to_zero, 0.0, lowest - _LIBRARY_STEP)


def _values(first: Tensor, channels: int) -> Tensor:
    """What stands in for each ablated channel, (N, K).

    The library reads the smallest activation again from the batch that it has already altered, so each channel gets
    1e7 less than the one before, anew every 32 channels.
    """
    values = [first]
    for _ in range(min(channels, _LIBRARY_BATCH) - 1):
        values.append(values[-1] - _LIBRARY_STEP)  # one by one: float32 rounds each of them
    values = torch.where(first == 0, 0.0, torch.stack(values)).T
    return values[:, torch.arange(channels) % _LIBRARY_BATCH].clamp(min=torch.finfo(values.dtype).min)


def _lost_features(head: ChannelwiseHead, cut: Cut, first: Tensor) -> Tensor:
    """What every channel's features lose when that channel is ablated, (N, K, s)."""
    shape = cut.activations.shape
    if cut.extras:
        ablated = head.features(
            _values(first, shape[1])[:, :, None, None].expand(shape).clone(), *(extra.clone() for extra in cut.extras)
        )
    else:
        # Ablated channels are constant, and few different images have different constants.
        distinct, of_image = first.unique(return_inverse=True)
        constant = _values(distinct, shape[1])[:, :, None, None].expand(-1, -1, *shape[2:])
        ablated = head.features(constant.clone())[of_image]
    return (cut.features.detach() - ablated).view(shape[0], shape[1], -1)


def _drop_by_share(head: ChannelwiseHead, cut: Cut, lost: Tensor, score: Tensor, targets: Tensor) -> Tensor:
    """The drop in closed form up to the linear layer, of which a channel's features move the output by their share."""
    images, channels, width = lost.shape
    if head.ends_linear:
        return (lost * head.linear.weight[targets].view(images, channels, width)).sum(dim=2)
    reached = head.linear(cut.features.detach())
    weight = head.linear.weight.view(-1, channels, width)
    group = rows_within(4 * channels * reached[0].nbytes, reached.device)
    drops = []
    for rows in torch.arange(images, device=lost.device).split(group):
        moved = torch.einsum("nks,hks->knh", lost[rows], weight)
        logits = head.tail((reached[rows] - moved).flatten(0, 1)).view(channels, len(rows), -1)
        drops.append(score[rows] - logits[:, torch.arange(len(rows)), targets[rows]].T)
    return torch.cat(drops)


def _ablated_logits(network: Traced | Hooked, cut: Cut, values: Tensor, targets: Tensor, rows: int) -> Tensor:
    """The target logits with each channel ablated, (N, K), by running the head again on many of them at once."""
    images, channels = values.shape
    logits = []
    for part in torch.arange(images * channels, device=values.device).split(rows):
        image, channel = part // channels, part % channels
        activations = cut.activations.detach()[image]
        activations[torch.arange(len(part)), channel] = values[image, channel][:, None, None]
        again = network.resume(activations, [extra[image] for extra in cut.extras])
        logits.append(again.gather(1, targets[image][:, None])[:, 0])
    return torch.cat(logits).view(images, channels)
