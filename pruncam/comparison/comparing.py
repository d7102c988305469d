"""Compare two networks: scores, noise floor, chance level, tables, figures and their summary."""

from collections.abc import Mapping

from torch import Tensor, nn

from pruncam._core.machine import Machine
from pruncam._core.validation import check_functions, check_layers, check_record
from pruncam._nn.outputs import Output
from pruncam.cams import CustomMethod
from pruncam.cams.map_layout import Reshape
from pruncam.cams.validation import check_custom_methods
from pruncam.comparison.assembling import report_of
from pruncam.comparison.image_ranges import shard_ranges
from pruncam.comparison.measuring import Comparison
from pruncam.comparison.pair import Pair
from pruncam.comparison.preprocessing import of_network
from pruncam.comparison.report import Report
from pruncam.comparison.settings import Settings
from pruncam.comparison.shards import Shard, job_of, parse_shard
from pruncam.datasets import ImageSet, object_masks
from pruncam.datasets.image_folder import LabelledImages
from pruncam.datasets.object_masks import ObjectMasks
from pruncam.datasets.streamed_images import StreamedImages
from pruncam.scoring import CustomScore
from pruncam.scoring.options import MAPS_OF_PAIR

Images = ImageSet | StreamedImages | LabelledImages


def compare(
    baseline: nn.Module | Pair,
    pruned: nn.Module | None = None,
    images: Images | None = None,
    *,
    train_images: Images | None = None,
    output: Output | None = None,
    reshape: Reshape | None = None,
    settings: Settings | None = None,
    custom_methods: Mapping[str, CustomMethod] | None = None,
    custom_scores: Mapping[str, CustomScore] | None = None,
    machine: Machine | None = None,
    progress: bool = True,
    masks: Tensor | ObjectMasks | None = None,
) -> Report:
    """Compare where a pruned network and its baseline look.

    The pruned network is scored against the baseline, next to fine-tuned copies of the baseline
    (the noise floor) and networks with random weights (the chance level).

    Parameters
    ----------
    baseline, pruned, images : the two networks and labelled images, in memory
        Or a `Pair` alone, as returned by `load`. The networks stay on their device.
    train_images : images of the same classes to fine-tune on; None: no noise floor
    output : position, key or attribute, or function that selects the logits
        For networks that return more than logits, see `cams.heatmaps`.
    reshape : function from the output of the target layer to maps (N, C, h, w)
        For target layers whose layout is not known, see `cams.heatmaps`.
    settings : see `Settings`
    custom_methods, custom_scores : dict of functions by name
        The user's CAMs and scores, see `scoring.score_many`. They appear in every table and figure.
    machine : gives the number of copies that are fine-tuned in parallel; copies are stored
    progress : show progress bars
    masks : bool tensor (N, H, W), True on the object of each image, or the result of
        `datasets.object_masks.read`
        How much of the heatmaps is on the objects.

    Returns
    -------
    Report
        Summary in plain sentences, tables, figures and manifest.

    Raises
    ------
    ValueError, TypeError
        If the arguments do not fit each other.
    """
    _check_options(settings, machine, custom_methods, custom_scores)
    comparison = Comparison(
        pair=_as_pair(baseline, pruned, images, train_images, output, reshape, masks),
        settings=settings or Settings(),
        custom_methods=dict(custom_methods or {}),
        custom_scores=dict(custom_scores or {}),
        machine=machine or Machine(),
        progress=progress,
    )
    return report_of(comparison.measure(range(len(comparison.pair.images))))


def compare_shard(
    shard: str,
    pair: Pair,
    *,
    settings: Settings | None = None,
    custom_methods: Mapping[str, CustomMethod] | None = None,
    custom_scores: Mapping[str, CustomScore] | None = None,
    machine: Machine | None = None,
    progress: bool = True,
) -> Shard:
    """Measure one shard of the images of a comparison, to be merged with the others.

    `save_shard` writes it to a folder, `merge` returns the report of all folders, which equals that
    of `compare`. Measurements that are not made on every image (at other layers,
    faithfulness) come with the first shard. Copies of the baseline that are fine-tuned are shared
    by a common cache (PRUNCAM_CACHE).

    Parameters
    ----------
    shard : number and count
        "3/16" for the third of sixteen.
    pair : the two networks and all images
    settings, custom_methods, custom_scores, machine, progress : as of `compare`

    Raises
    ------
    ValueError, TypeError
        As `compare` does, and if there is no such shard or there are too few images.
    """
    number, count = parse_shard(shard)
    check_record("pair", pair, Pair)
    _check_options(settings, machine, custom_methods, custom_scores)
    images = pair.images
    numbers = shard_ranges(len(images), images.batch_length, count)[number - 1]
    comparison = Comparison(
        pair=pair,
        settings=settings or Settings(),
        custom_methods=dict(custom_methods or {}),
        custom_scores=dict(custom_scores or {}),
        machine=machine or Machine(),
        progress=progress,
    )
    measured = comparison.measure(numbers)
    return Shard(number, count, job_of(comparison, count), measured)


def _check_options(
    settings: object,
    machine: object,
    custom_methods: Mapping[str, CustomMethod] | None,
    custom_scores: Mapping[str, CustomScore] | None,
) -> None:
    """Raise TypeError or ValueError if an option of a comparison is of another type."""
    check_record("settings", settings, Settings | None)
    check_record("machine", machine, Machine | None)
    check_custom_methods("custom_methods", {} if custom_methods is None else custom_methods)
    check_functions("custom_scores", {} if custom_scores is None else custom_scores, MAPS_OF_PAIR)


def _as_pair(
    baseline: nn.Module | Pair,
    pruned: nn.Module | None,
    images: Images | None,
    train_images: Images | None,
    output: Output | None,
    reshape: Reshape | None,
    masks: Tensor | ObjectMasks | None,
) -> Pair:
    if isinstance(baseline, Pair):
        others = (pruned, images, train_images, output, reshape, masks)
        if any(argument is not None for argument in others):
            raise TypeError("pass either a Pair, or two networks and images")
        return baseline
    check_layers(baseline, "baseline")
    if pruned is None or images is None:
        raise TypeError("pass a Pair, or a baseline, a pruned network and images")
    files = images.files if isinstance(images, LabelledImages) else None
    if masks is not None and not isinstance(masks, ObjectMasks):
        masks = object_masks.in_memory(masks)
    return Pair(
        baseline,
        pruned,
        images=_image_set(images, "images"),
        train_images=None if train_images is None else _in_memory(train_images),
        files=files,
        preprocessing=of_network(baseline),
        output=output,
        reshape=reshape,
        masks=masks,
    )


def _image_set(images: Images, name: str) -> ImageSet | StreamedImages:
    image_set = images.images if isinstance(images, LabelledImages) else images
    if not isinstance(image_set, ImageSet | StreamedImages):
        raise TypeError(
            f"{name} must be a datasets.ImageSet or the result of datasets.image_folder.read, "
            f"got {type(images).__name__}"
        )
    return image_set


def _in_memory(images: Images) -> ImageSet:
    train_images = _image_set(images, "train_images")
    if not isinstance(train_images, ImageSet):
        raise TypeError("train_images must be in memory: read them without a limit of memory")
    return train_images
