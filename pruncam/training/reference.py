"""Training of the reference networks from their cards."""

import copy
import platform
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from safetensors.torch import load as deserialize
from safetensors.torch import save as serialize
from torch import Tensor, nn

from pruncam._core.seeds import derive
from pruncam._core.store import Step, write_atomically
from pruncam.datasets import ImageSet, catalog
from pruncam.networks import Card, initialize
from pruncam.networks.reference import checksum
from pruncam.training.checkpoint import Checkpoint
from pruncam.training.fitting import fit
from pruncam.training.precision import resolve_precision
from pruncam.training.prediction import accuracy
from pruncam.training.recipes import Inputs, OneCycle, Recipe, WarmRestarts

_VERSION = 1  # to be raised whenever a change of code changes the weights


def recipe(card: Card) -> Recipe:
    """Return the recipe of a card."""
    arguments: dict[str, Any] = dict(card.recipe)
    one_cycle = arguments.pop("one_cycle", None)
    if one_cycle is None:
        return Recipe(**arguments)
    if isinstance(one_cycle, list):
        cycles = tuple(OneCycle(**cycle) for cycle in one_cycle)
        return Recipe(WarmRestarts(cycles), **arguments)
    return Recipe(OneCycle(**one_cycle), **arguments)


def count_cycles(card: Card) -> int:
    """Return the number of cycles in a card's recipe, 1 if it has no list of them."""
    one_cycle = card.recipe.get("one_cycle")
    return len(one_cycle) if isinstance(one_cycle, list) else 1


def with_first_cycles(card: Card, cycles: int) -> Card:
    """Return the card of a training by the first cycles of a card's recipe.

    Raises ValueError if the recipe does not have as many.
    """
    if not 1 <= cycles <= count_cycles(card):
        raise ValueError(
            f"the recipe of reference network {card.name!r} has {count_cycles(card)} cycles: "
            f"{cycles} of them cannot be trained"
        )
    if cycles == count_cycles(card):
        return card
    first = list(card.recipe["one_cycle"][:cycles])
    # A single cycle is written, and stored, as in a card without a list.
    one_cycle = first[0] if cycles == 1 else first
    return replace(card, recipe={**card.recipe, "one_cycle": one_cycle})


def without_last_cycle(card: Card) -> Card | None:
    """Return the card of the training but for its last cycle; None if it is one cycle or none."""
    cycles = count_cycles(card)
    return None if cycles <= 1 else with_first_cycles(card, cycles - 1)


def first_epoch(card: Card) -> int:
    """Return the first epoch of the last cycle, 0 if there is only one."""
    earlier = without_last_cycle(card)
    return 0 if earlier is None else recipe(earlier).epochs


def images(card: Card, split: str, data_dir: str | None = None) -> ImageSet:
    """Return the images of a split, in three channels and at the size that the network takes.

    Raises DataError if they are missing.
    """
    count = card.data[f"{split}_images"]
    loaded = catalog.load(card.data["source"], split, data_dir=data_dir, at_most=count)
    return loaded.as_rgb().resized(card.data["size"])


def step(
    card: Card,
    train_images: ImageSet,
    seed: int,
    device: torch.device,
    *,
    precision: str | None = None,
) -> Step:
    """Return the step under which a network trained from a card on a device is stored.

    `precision` is by default the one in which the device trains.
    """
    inputs = {
        "network": dict(card.network),
        "inputs": dict(card.inputs),
        "recipe": dict(card.recipe),
        "name": card.name,
        "seed": seed,
        "train": train_images.checksum,
        "precision": precision or resolve_precision(card.precision, device),
    }
    return Step("reference-network", _VERSION, inputs)


def train(
    card: Card,
    train_images: ImageSet,
    *,
    seed: int | None = None,
    start: Mapping[str, Tensor] | None = None,
    checkpoint: Checkpoint | None = None,
    after_epoch: Callable[[], None] = lambda: None,
) -> nn.Module:
    """Return a network newly trained from a card, in eval mode, on the device of the images.

    `seed` is by default that of the card. `start` is the state dict before the last cycle, the only
    one that is then trained; `checkpoint` and `after_epoch` are those of `fit`.
    """
    seed = card.seed if seed is None else seed
    model = initialize(card.build(), "pytorch", derive(seed, "reference weights", card.name))
    if start is not None:
        model.load_state_dict(start)
    model.to(train_images.images.device)
    fit(
        model,
        train_images.images,
        train_images.labels,
        recipe(card),
        Inputs(**card.inputs),
        seed=derive(seed, "reference training", card.name),
        precision=card.precision,
        first_epoch=0 if start is None else first_epoch(card),
        checkpoint=checkpoint,
        after_epoch=after_epoch,
    )
    return model.eval()


def save(card: Card, model: nn.Module, train_images: ImageSet, test_images: ImageSet) -> Card:
    """Write weights and card into the package; return the card with the facts of the result.

    Parameters are rounded to half precision; buffers (statistics of BatchNorm) are not. The
    accuracies are those of the rounded network, which is the one that `networks.load` returns.
    """
    rounded, content = _rounded(model)
    result = {
        "train_accuracy": _accuracy(card, rounded, train_images),
        "test_accuracy": _accuracy(card, rounded, test_images),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "bytes": len(content),
        "sha256": checksum(content),
        **_circumstances(card, train_images, test_images),
    }
    complete = replace(card, result=result, unfinished={})
    write_atomically(card.file, lambda temporary: temporary.write_bytes(content))
    complete.save()
    card.unfinished_file.unlink(missing_ok=True)
    return complete


def save_unfinished(
    card: Card,
    earlier: Card,
    model: nn.Module,
    train_images: ImageSet,
    test_images: ImageSet,
) -> None:
    """Write a network of which the cycles of `earlier` are trained into the package."""
    rounded, content = _rounded(model)
    device = train_images.images.device
    facts = {
        "cycles": count_cycles(earlier),
        "training": step(earlier, train_images, card.seed, device).key,
        "precision": resolve_precision(card.precision, device),
        "test_accuracy": _accuracy(card, rounded, test_images),
        "sha256": checksum(content),
    }
    write_atomically(card.unfinished_file, lambda temporary: temporary.write_bytes(content))
    replace(card, unfinished=facts).save()


def unfinished_state(card: Card, earlier: Card, train_images: ImageSet) -> dict[str, Tensor] | None:
    """Return the state dict after the cycles of `earlier` that `save_unfinished` wrote.

    None if it wrote none, or after other cycles. Raises ValueError if it belongs to another
    training or is damaged.
    """
    facts = card.unfinished
    if facts.get("cycles") != count_cycles(earlier):
        return None
    device = train_images.images.device
    expected = step(earlier, train_images, card.seed, device, precision=facts.get("precision"))
    content = card.unfinished_file.read_bytes() if card.unfinished_file.is_file() else b""
    if facts.get("training") != expected.key or checksum(content) != facts.get("sha256"):
        raise ValueError(
            f"{card.unfinished_file.name} does not belong to the training of its card: remove "
            "`unfinished` from the card to train from the beginning"
        )
    state = deserialize(content)
    return {name: v.float() if v.dtype == torch.float16 else v for name, v in state.items()}


def _rounded(model: nn.Module) -> tuple[nn.Module, bytes]:
    """Return a copy with parameters of half precision, and the content of its weights file."""
    device = next(model.parameters()).device
    rounded = copy.deepcopy(model).cpu()
    state = dict(rounded.state_dict())
    for name, parameter in rounded.named_parameters():
        state[name] = parameter.detach().half()
    rounded.load_state_dict(state)
    content = serialize({name: value.contiguous() for name, value in state.items()})
    return rounded.to(device), content


def _accuracy(card: Card, model: nn.Module, split: ImageSet) -> float:
    """Return the accuracy in %, with two decimals."""
    prepare = Inputs(**card.inputs).normalize
    share = accuracy(model, split.images, split.labels, prepare=prepare)
    return round(100 * share, 2)


def _circumstances(card: Card, train_images: ImageSet, test_images: ImageSet) -> dict[str, Any]:
    """Return the facts about images, hardware and versions of a training."""
    import torchvision  # the import takes seconds

    device = train_images.images.device
    return {
        "train_images": len(train_images),
        "test_images": len(test_images),
        "images": test_images.provenance,
        "images_sha256": {"train": train_images.checksum, "test": test_images.checksum},
        "precision": resolve_precision(card.precision, device),
        "device": device.type,
        "versions": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "torchvision": str(torchvision.__version__),
        },
    }
