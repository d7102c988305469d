"""Channel weights of Ablation-CAM: the drop of the target logit without each channel."""

import torch
from torch import Tensor

from pruncam._nn.memory import rows_within
from pruncam.cams.closed_form import ChannelwiseHead
from pruncam.cams.layer_pass import LayerPass
from pruncam.cams.map_layout import CHANNELS_FIRST
from pruncam.cams.model_split import SplitForward

_LIBRARY_BATCH = 32  # pytorch-grad-cam's batch size, on which its maps depend
_LIBRARY_STEP = 1e7


def ablation_weights(layer: LayerPass, to_zero: bool) -> Tensor:
    """Return the relative drop of the target logit when a channel is ablated, (N, K).

    Desai & Ramaswamy 2020, Eq. 3. An ablated channel is set to 0 if `to_zero`, as in the paper,
    else to the value that pytorch-grad-cam sets. As there, a negative logit inverts the signs. A
    logit of 0 has no relative drop: all its weights are 0. Where the layer gives tokens, a channel
    is ablated in the class tokens too.

    Raises ValueError if the channels of the maps are none of the layer.
    """
    first = _first_ablation_value(layer.forward.activations.detach(), to_zero)
    score = _target_logits(layer.logits, layer.targets)
    head = layer.network.channelwise
    if head is None or layer.layout != CHANNELS_FIRST:
        drop = score - _ablated_logits(layer, first)
    else:
        drop = _closed_form_drop(head, layer, first, score)
    return torch.where(score == 0, 0.0, drop / score)


def _target_logits(logits: Tensor, targets: Tensor) -> Tensor:
    """Return each row's target logit, (N, 1)."""
    return logits.gather(1, targets[:, None])


def _first_ablation_value(activations: Tensor, to_zero: bool) -> Tensor:
    """Return the value of each image's first channel when ablated, (N,).

    0 if the smallest activation is exactly 0, else pytorch-grad-cam subtracts 1e7 from it,
    "deviating from the paper"; always 0 if `to_zero`.
    """
    lowest = activations.flatten(1).amin(dim=1)
    return torch.where((lowest == 0) | to_zero, 0.0, lowest - _LIBRARY_STEP)


def _ablation_values(first: Tensor, channels: int) -> Tensor:
    """Return the value of each channel when ablated, (N, K).

    The library reads the smallest activation from the batch that it has already altered: each
    channel gets 1e7 less than the one before, starting again every 32 channels.
    """
    value = first
    sequence = [value]
    for _ in range(1, min(channels, _LIBRARY_BATCH)):
        value = value - _LIBRARY_STEP  # one by one: float32 rounds each of them
        sequence.append(value)
    values = torch.where(first == 0, 0.0, torch.stack(sequence)).T
    index = torch.arange(channels) % _LIBRARY_BATCH
    lowest = torch.finfo(values.dtype).min
    return values[:, index].clamp(min=lowest)


def _constant_maps(values: Tensor, size: torch.Size) -> Tensor:
    """Return maps (N, K, h, w) with one value (N, K) each."""
    return values[:, :, None, None].expand(-1, -1, *size).clone()


def _closed_form_drop(
    head: ChannelwiseHead, layer: LayerPass, first: Tensor, score: Tensor
) -> Tensor:
    """Return the drop of the target logits, (N, K), in closed form up to the linear layer.

    Without a channel, the input of the linear layer (or convolution) changes by the features that
    the channel loses.
    """
    features, lost = _features_and_losses(head, layer.forward, first)
    images, channels = lost.shape[:2]
    if head.ends_with_linear:
        weight = head.linear.weight[layer.targets]
        return (lost * weight.view_as(lost)).sum(dim=2)
    hidden = head.linear(features)
    is_zero = not bool(first.any())  # the library's other values are too large to be subtracted
    if is_zero and head.rectified and head.rectified.is_worth_compiling(lost, hidden):
        ablated_logits = head.rectified.ablated_logits(lost, hidden, layer.targets, score)
        if ablated_logits is not None:
            return score - ablated_logits
    batch = rows_within(4 * channels * hidden[0].nbytes, hidden.device)
    drops = []
    for rows in torch.arange(images, device=lost.device).split(batch):
        changes = head.changes(lost[rows])
        ablated = hidden[rows] - changes.view(channels, len(rows), *hidden.shape[1:])
        logits = head.tail(ablated.flatten(0, 1))
        targets = layer.targets[rows].repeat(channels)
        ablated_score = _target_logits(logits, targets)
        drops.append(score[rows] - ablated_score.view(channels, len(rows)).T)
    return torch.cat(drops)


def _features_and_losses(
    head: ChannelwiseHead, forward: SplitForward, first: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the features, and what each channel loses of them when ablated.

    Features are (N, K s) or (N, K, h, w), losses (N, K, s) or (N, K, h, w).
    """
    assert forward.features is not None
    features = forward.features.detach()
    images, channels = forward.activations.shape[:2]
    size = forward.activations.shape[2:]
    if forward.extras:
        maps = _constant_maps(_ablation_values(first, channels), size)
        extras = [extra.clone() for extra in forward.extras]
        ablated = head.features(maps, *extras)
    else:
        # Ablated channels are constant, and only few images differ in their constants.
        distinct, index = first.unique(return_inverse=True)
        maps = _constant_maps(_ablation_values(distinct, channels), size)
        ablated = head.features(maps)[index]
    lost = features - ablated
    return features, lost.view(images, channels, -1) if lost.ndim == 2 else lost


def _ablated_logits(layer: LayerPass, first: Tensor) -> Tensor:
    """Return the target logits with each channel ablated, (N, K), by running the head again."""
    forward = layer.forward
    axis = layer.layout.axis_to_ablate
    images, channels = len(forward.activations), forward.activations.shape[axis]
    values = _ablation_values(first, channels)
    pairs = torch.arange(images * channels, device=values.device)
    logits = []
    for batch in pairs.split(rows_within(layer.bytes_per_row, values.device)):
        image = batch // channels
        channel = batch % channels
        rows = torch.arange(len(batch))
        activations = forward.activations.detach()[image]
        by_channel = activations.movedim(axis, 1)  # a view
        ablated = by_channel[rows, channel]
        by_channel[rows, channel] = values[image, channel].view([-1] + [1] * (ablated.ndim - 1))
        extras = [extra[image] for extra in forward.extras]
        resumed = layer.network.resume(activations, extras)
        logits.append(_target_logits(resumed, layer.targets[image]))
    return torch.cat(logits).view(images, channels)
