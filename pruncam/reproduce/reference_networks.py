"""Training of the reference networks again, from their cards (`make weights`)."""

import time
from collections.abc import Sequence

from torch import Tensor

from pruncam import networks
from pruncam._core.machine import Machine
from pruncam._core.progress import Progress
from pruncam._core.store import Store
from pruncam.datasets import ImageSet
from pruncam.networks.reference import cards
from pruncam.pruning import load_state
from pruncam.training import Checkpoint, reference


def train_reference_networks(names: Sequence[str], machine: Machine) -> int:
    """Train the networks of these cards (all if `names` is empty), write them, print accuracies.

    Finished trainings are taken from the store; an interrupted one continues after an epoch.
    Returns 0, the exit status. Raises ValueError for an unknown name, DataError if images are
    missing.
    """
    descriptions = [networks.card(name) for name in names or cards()]
    for description in descriptions:
        start = time.perf_counter()
        complete = _train(description, machine)
        minutes = (time.perf_counter() - start) / 60
        accuracy = complete.result["test_accuracy"]
        print(f"{complete.name}: {accuracy:.2f} % of the test images, {minutes:.1f} minutes")
    return 0


def _train(card: networks.Card, machine: Machine) -> networks.Card:
    """Train and write one network; return its card with the facts of the result."""
    device = machine.torch_device
    train_images = reference.images(card, "train", machine.data_dir).to(device)
    test_images = reference.images(card, "test", machine.data_dir).to(device)
    model = load_state(card.build(), _trained_state(card, train_images)).to(device)
    return reference.save(card, model.eval(), train_images, test_images)


def _trained_state(card: networks.Card, train_images: ImageSet) -> dict[str, Tensor]:
    """Return the state dict of the trained network, from the store or trained now."""
    store = Store()
    step = reference.step(card, train_images, card.seed, train_images.images.device)
    checkpoint = Checkpoint(store.path(step).with_suffix(".unfinished"))
    progress = Progress(card.name, "epoch")
    progress.expect(reference.recipe(card).epochs)

    def train() -> dict[str, Tensor]:
        model = reference.train(
            card,
            train_images,
            checkpoint=checkpoint,
            after_epoch=progress.advance,
        )
        return model.cpu().state_dict()

    try:
        return store.get(step, train).value
    finally:
        progress.close()
