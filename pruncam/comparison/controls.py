"""Fine-tuned copies of the baseline, the reference of a comparison, kept in the store."""

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
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
from pruncam.scoring.controls import fine_tuned_controls
from pruncam.studies.cached_trainer import CachedTrainer, weights_of
from pruncam.training import Checkpoint, Inputs, fit, has_dropout

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
    pair = replace(pair, train_images=pair.train_images.to(pair.device))
    fine_tuning = _FineTuning(pair, settings, normalisation, trainer)
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

    pair: Pair
    settings: Settings
    normalisation: Normalisation
    trainer: CachedTrainer

    def train(self, model: nn.Module, seed: int) -> nn.Module:
        """Return `model` with fine-tuned weights, stored or trained now."""
        classifier = self.pair.classifier(model)
        network = nn.Sequential(copy.deepcopy(self.normalisation), classifier)
        network.to(self.trainer.device)
        step, recipe = self._step(network, seed), self.settings.recipe
        fine_tune = partial(self._fine_tune, network, derive(seed, "own", "finetuning"))
        self.trainer.load_or_train(step, network, recipe, fine_tune)
        return model

    def _fine_tune(
        self, network: nn.Module, seed: int, checkpoint: Checkpoint
    ) -> dict[str, Tensor]:
        """Return the weights of `network` after fine-tuning; frozen layers stay frozen."""
        fit(
            network,
            self.pair.train_images.images,
            self.pair.train_images.labels,
            self.settings.recipe,
            Inputs(),
            seed=seed,
            checkpoint=checkpoint,
            after_epoch=self.trainer.after_epoch,
        )
        return weights_of(network)

    def _step(self, network: nn.Sequential, seed: int) -> Step:
        """Return the step with everything that the fine-tuned weights depend on."""
        settings = self.settings
        mean, std = self.normalisation.mean.flatten(), self.normalisation.std.flatten()
        # The logits distinguish networks with equal weights whose forward code differs.
        logits = first_logits_of(network, self.pair.train_images.images)
        inputs = {
            "weights": digest(network[1].state_dict()),
            "logits": digest({"first": logits}),
            "train": self.pair.train_images.checksum,
            "recipe": [settings.epochs, settings.learning_rate, settings.batch_size],
            "normalisation": [mean.tolist(), std.tolist()],
            "frozen": _frozen(network),
            "seed": seed,
        }
        return Step("own-tuned", _FINE_TUNING_VERSION, inputs)


def check_trainable(baseline: nn.Module) -> None:
    """Raise ValueError if every layer of the baseline is frozen: it cannot be fine-tuned."""
    if not any(parameter.requires_grad for parameter in baseline.parameters()):
        raise ValueError(
            "the baseline is frozen (no parameter requires gradients), so there is no reference "
            "of fine-tuning: call baseline.requires_grad_(), or leave out the training images"
        )


def _frozen(network: nn.Module) -> list[str]:
    """Return the names of the parameters that fine-tuning does not change."""
    return [name for name, value in network.named_parameters() if not value.requires_grad]


@torch.no_grad()
def first_logits_of(network: nn.Module, images: Tensor) -> Tensor:
    """Return the logits of the first four images, uint8 (N, C, H, W)."""
    return network.eval()(images[:4].float() / 255)


def digest(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, value in state.items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        content = value.detach().cpu().contiguous().flatten()
        digest.update(content.view(torch.uint8).numpy())
    return digest.hexdigest()
