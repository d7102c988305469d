"""The noise floor of a comparison: fine-tuned copies of the baseline, kept in the store."""

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from pruncam._core.executor import run_tasks
from pruncam._core.machine import Machine
from pruncam._core.progress import Progress
from pruncam._core.seeds import derive
from pruncam._core.store import Step, Store
from pruncam.comparison.pair import Pair
from pruncam.comparison.settings import Normalisation, Settings
from pruncam.datasets import ImageSet
from pruncam.scoring.controls import fine_tuned_controls
from pruncam.studies.cached_trainer import CachedTrainer
from pruncam.training import Inputs, has_dropout

_FINE_TUNING_VERSION = 1  # raise when the code changes the result


def fine_tuned_baselines(
    pair: Pair, settings: Settings, normalisation: Normalisation, machine: Machine, progress: bool
) -> dict[str, nn.Module]:
    """Return a fine-tuned copy of the baseline for every seed; none without training images.

    They are named as `scoring.fine_tuned_controls` does. Stored copies are not trained again.
    """
    if pair.train_images is None:
        return {}
    bar = Progress("fine-tuning", "epoch", progress)
    bar.expect(settings.epochs * len(settings.seeds))
    trainer = CachedTrainer(Store(), pair.device, bar)
    fine_tuning = _FineTuning(pair.train_images.to(pair.device), settings, normalisation, trainer)
    # Dropout draws from the global random state, which parallel jobs would share.
    jobs = 1 if has_dropout(pair.baseline) else machine.parallel(len(settings.seeds))
    run = partial(run_tasks, jobs=jobs, progress=bar)
    try:
        return fine_tuned_controls(pair.baseline, fine_tuning.train, settings.seeds, run=run)
    finally:
        bar.close()


@dataclass(frozen=True)
class _FineTuning:
    """The fine-tuning of a network by the recipe of `settings`."""

    train_images: ImageSet
    settings: Settings
    normalisation: Normalisation
    trainer: CachedTrainer

    def train(self, model: nn.Module, seed: int) -> nn.Module:
        """Return `model` with fine-tuned weights, stored or trained now."""
        network = nn.Sequential(copy.deepcopy(self.normalisation), model).to(self.trainer.device)
        recipe = self.settings.recipe
        train = partial(
            self.trainer.train,
            network,
            self.train_images,
            recipe,
            Inputs(),
            derive(seed, "own", "finetuning"),
        )
        self.trainer.load_or_train(self._step(network, seed), network, recipe, train)
        return model

    def _step(self, network: nn.Sequential, seed: int) -> Step:
        """Return the step with everything that the fine-tuned weights depend on."""
        settings = self.settings
        mean, std = self.normalisation.mean.flatten(), self.normalisation.std.flatten()
        # The logits distinguish networks with equal weights whose forward code differs.
        logits = _first_logits(network, self.train_images.images)
        inputs = {
            "weights": _digest(network[1].state_dict()),
            "logits": _digest({"first": logits}),
            "train": self.train_images.checksum,
            "recipe": [settings.epochs, settings.learning_rate, settings.batch_size],
            "normalisation": [mean.tolist(), std.tolist()],
            "seed": seed,
        }
        return Step("own-tuned", _FINE_TUNING_VERSION, inputs)


@torch.no_grad()
def _first_logits(network: nn.Module, images: Tensor) -> Tensor:
    return network.eval()(images[:4].float() / 255)


def _digest(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, value in state.items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        content = value.detach().cpu().contiguous().flatten()
        digest.update(content.view(torch.uint8).numpy())
    return digest.hexdigest()
