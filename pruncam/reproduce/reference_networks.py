"""Training of the reference networks again, from their cards (`make weights`)."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

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
    training = _Training(card, train_images, test_images)
    return reference.save(card, training.model(card), train_images, test_images)


@dataclass(frozen=True)
class _Training:
    """The training of a reference network, cycle by cycle if its card has several."""

    card: networks.Card
    train_images: ImageSet
    test_images: ImageSet

    def model(self, card: networks.Card) -> nn.Module:
        """Return the network of `card`, which may have fewer cycles than the whole training."""
        model = load_state(card.build(), self._state(card))
        return model.to(self.train_images.images.device).eval()

    def _state(self, card: networks.Card) -> dict[str, Tensor]:
        """Return the state dict of the trained network, from the store or trained now."""
        store = Store()
        step = reference.step(card, self.train_images, card.seed, self.train_images.images.device)
        checkpoint = Checkpoint(store.path(step).with_suffix(".unfinished"))

        def train() -> dict[str, Tensor]:
            start = self._start(card)
            progress = Progress(card.name, "epoch")
            progress.expect(reference.recipe(card).epochs - reference.first_epoch(card))
            try:
                model = reference.train(
                    card,
                    self.train_images,
                    start=start,
                    checkpoint=checkpoint,
                    after_epoch=progress.advance,
                )
            finally:
                progress.close()
            return model.cpu().state_dict()

        return store.get(step, train).value

    def _start(self, card: networks.Card) -> dict[str, Tensor] | None:
        """Return the state dict before the last cycle; None if that is the only one.

        It is read from the package, so that weights do not depend on where a training stopped.
        """
        earlier = reference.without_last_cycle(card)
        if earlier is None:
            return None
        state = reference.unfinished_state(self.card, earlier, self.train_images)
        if state is not None:
            return state
        model = self.model(earlier)
        reference.save_unfinished(self.card, earlier, model, self.train_images, self.test_images)
        saved = networks.card(self.card.name)
        return reference.unfinished_state(saved, earlier, self.train_images)
