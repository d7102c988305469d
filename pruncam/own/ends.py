"""The two ends of the scale: the baseline after fine-tuning alone, and networks with random weights."""

import copy
import hashlib
from functools import partial

import torch
from torch import Tensor, nn

from pruncam import models
from pruncam.own.pair import Pair
from pruncam.own.settings import Normalisation, Settings
from pruncam.progress import Progress
from pruncam.seeds import derive
from pruncam.store import Step, Store
from pruncam.studies.half import CHANCE, FLOOR
from pruncam.studies.study import Machine, in_threads
from pruncam.studies.workshop import Workshop
from pruncam.training import Inputs, drops_out

_TUNED = 1  # version of the step, raised by hand


def fine_tuned(
    pair: Pair, settings: Settings, normalisation: Normalisation, machine: Machine, progress: bool
) -> dict[str, nn.Module]:
    """The baseline after the fine-tuning of `settings`, by name, once per seed; none without training pictures.

    Kept in the store: the same copies are not trained twice.
    """
    if pair.training is None:
        return {}
    bar = Progress("fine-tuning", "epoch", progress)
    bar.expect(settings.epochs * len(settings.seeds))
    bench = Workshop(Store(), pair.device, bar)
    tune = partial(_tuned, pair, settings, normalisation, bench)
    # Dropout draws from the one random state of the process.
    jobs = 1 if drops_out(pair.baseline) else machine.parallel(len(settings.seeds))
    try:
        made = in_threads(tune, list(settings.seeds), jobs, bar)
    finally:
        bar.close()
    return {f"{FLOOR} {seed}": model for seed, model in zip(settings.seeds, made, strict=True)}


def random(pair: Pair, settings: Settings) -> dict[str, nn.Module]:
    """Networks that have learned nothing, by name. Raises ValueError where a layer cannot draw new weights."""
    seeds = {seed: derive(seed, "chance") for seed in settings.seeds}
    return {f"{CHANCE} {seed}": models.randomized(pair.baseline, own).eval() for seed, own in seeds.items()}


def _tuned(pair: Pair, settings: Settings, normalisation: Normalisation, bench: Workshop, seed: int) -> nn.Module:
    model = copy.deepcopy(pair.baseline)
    network = nn.Sequential(copy.deepcopy(normalisation), model)
    training = pair.training.images.to(pair.device)
    inputs = {
        "weights": _digest(model.state_dict()),
        # What it computes, and not only what it is called: a forward pass may be the user's own code.
        "logits": _digest({"first": _first_logits(network.to(pair.device), training.images)}),
        "train": pair.training.images.checksum,
        "recipe": [settings.epochs, settings.learning_rate, settings.batch_size],
        "normalisation": [values.flatten().tolist() for values in (normalisation.mean, normalisation.std)],
        "seed": seed,
    }
    made = partial(bench.train, network, training, settings.recipe, Inputs(), derive(seed, "own", "finetuning"))
    return bench.model(Step("own-tuned", _TUNED, inputs), network, settings.recipe, made)[1]


@torch.no_grad()
def _first_logits(network: nn.Module, images: Tensor) -> Tensor:
    return network.eval()(images[:4].float() / 255)


def _digest(state: dict[str, Tensor]) -> str:
    """The SHA-256 of names and values, of any type."""
    digest = hashlib.sha256()
    for name, value in state.items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
