"""The controls of every comparison: the noise floor of fine-tuning, and two levels of chance.

Floor and chance level are sets of models made from the baseline, one per seed: copies that were
fine-tuned but not pruned, and networks of the same architecture with random weights. Where random
networks give empty maps, the baseline's maps of other images tell what is due to chance.
"""

import copy
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Unpack

import pandas as pd
from torch import Tensor, nn

from pruncam import networks
from pruncam._core.seeds import derive
from pruncam._core.validation import check_function, check_layers, check_seed, check_seeds
from pruncam.datasets.batches import Images
from pruncam.pruning.masking import reject_hooked_weights
from pruncam.scoring.comparison import Comparison
from pruncam.scoring.options import Options
from pruncam.scoring.rows import checked_batches, score_many

FLOOR = "fine-tuned, not pruned"
CHANCE = "random weights"
SHUFFLED = "maps of other images"

# (model, seed) -> the trained model, or None if `model` itself was trained
FineTune = Callable[[nn.Module, int], object]
# (function, seeds) -> the function's results, such as the built-in `map`
RunTasks = Callable[[Callable[[int], nn.Module], Sequence[int]], Iterable[nn.Module]]


def noise_floor(
    baseline: nn.Module,
    finetune: FineTune,
    images: Images,
    labels: Tensor | None = None,
    *,
    seeds: Sequence[int],
    **options: Unpack[Options],
) -> pd.DataFrame:
    """Score the baseline against fine-tuned copies of itself: what fine-tuning alone changes.

    A pruned model that scores within the spread of these rows shows no effect of its pruning.

    Parameters
    ----------
    baseline : the unpruned classifier
    finetune : function of a model and a seed
        Trains the model it gets as pruned models are fine-tuned, in place or by returning it.
    images, labels, options : as in `score_many`
    seeds : different whole numbers from 0 to 2**63 - 1, one or more

    Returns
    -------
    DataFrame with the rows of `score_many`
        `model` is "fine-tuned, not pruned <seed>".

    Raises
    ------
    TypeError, ValueError
        As `score_many` does, before anything is trained, and if `finetune` or `seeds` is invalid.
    """
    _check_finetune(finetune)
    check_layers(baseline, "baseline")
    checked_batches(images, labels, options)  # before anything is trained
    models = fine_tuned_controls(baseline, finetune, seeds)
    return score_many(baseline, models, images, labels, **options)


def chance_level(
    baseline: nn.Module,
    images: Images,
    labels: Tensor | None = None,
    *,
    seeds: Sequence[int],
    **options: Unpack[Options],
) -> pd.DataFrame:
    """Score the baseline against networks with random weights (Adebayo et al. 2018).

    A score that these networks reach says nothing about the attention of a pruned network.
    Arguments and errors are those of `score_many` and `random_controls`; `model` in the rows is
    "random weights <seed>".
    """
    models = random_controls(baseline, seeds)
    return score_many(baseline, models, images, labels, **options)


def shuffled_level(
    baseline: nn.Module,
    images: Images,
    labels: Tensor | None = None,
    *,
    seed: int,
    **options: Unpack[Options],
) -> pd.DataFrame:
    """Score the baseline's maps against its maps of other images, drawn at random.

    No image is compared with itself. Predictions and confidences stay those of the image, so PE
    tells the overlap of the maps alone. All maps are in memory at once, float32 at the size of the
    images.

    Arguments and errors are those of `score_many`, and ValueError if there are fewer than two
    images; `model` in the rows is "maps of other images".
    """
    check_layers(baseline, "baseline")
    seed = check_seed(seed)
    batches, resolved = checked_batches(images, labels, options)
    return Comparison(baseline, {SHUFFLED: baseline}, resolved).with_shuffled_maps(
        SHUFFLED, batches, seed
    )


def fine_tuned_controls(
    baseline: nn.Module,
    finetune: FineTune,
    seeds: Sequence[int],
    *,
    run: RunTasks = map,
) -> dict[str, nn.Module]:
    """Return a fine-tuned copy of the baseline for every seed, named "<FLOOR> <seed>".

    `finetune(model, seed)` trains the copy in place or returns the trained model. `run` calls it
    for all seeds: one after the other by default, in parallel with a function such as
    `partial(run_tasks, jobs=..., progress=...)`.

    Raises ValueError if `seeds` are invalid or a hook of PyTorch, as that of
    `torch.nn.utils.prune`, holds weights of the baseline.
    """
    _check_finetune(finetune)
    check_layers(baseline, "baseline")
    seeds = check_seeds(seeds)
    reject_hooked_weights(baseline)
    names = [f"{FLOOR} {seed}" for seed in seeds]
    models = run(partial(_fine_tuned_copy, baseline, finetune), seeds)
    return dict(zip(names, models, strict=True))


def random_controls(baseline: nn.Module, seeds: Sequence[int]) -> dict[str, nn.Module]:
    """Return a network with random weights for every seed, named "<CHANCE> <seed>".

    Raises ValueError if `seeds` are invalid.
    """
    seeds = check_seeds(seeds)
    return {f"{CHANCE} {seed}": random_control(baseline, seed) for seed in seeds}


def random_control(baseline: nn.Module, seed: int) -> nn.Module:
    """Return a copy of the baseline with random weights, on its device and in eval mode.

    The same seed gives the same network in every study and comparison, see `networks.randomized`.
    """
    model = networks.randomized(baseline, derive(check_seed(seed), "chance"))
    return model.eval()


def _check_finetune(finetune: object) -> None:
    check_function("finetune", finetune, ["a model", "a seed"])


def _fine_tuned_copy(
    baseline: nn.Module,
    finetune: FineTune,
    seed: int,
) -> nn.Module:
    model = copy.deepcopy(baseline)
    result = finetune(model, seed)
    return result if isinstance(result, nn.Module) else model
