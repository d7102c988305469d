"""Score a whole test set: one row per model, CAM method and image."""

from collections.abc import Iterator, Mapping
from typing import Unpack

import pandas as pd
from torch import Tensor, nn

from pruncam._core.validation import check_layers
from pruncam.datasets.batches import Batches, Images
from pruncam.scoring.comparison import Comparison
from pruncam.scoring.options import Options, check_models, label_option, resolve_options


def score(
    baseline: nn.Module,
    pruned: nn.Module,
    images: Images,
    labels: Tensor | None = None,
    **options: Unpack[Options],
) -> pd.DataFrame:
    """Compare the heatmaps of two models, image by image.

    Arguments and errors are those of `score_many`; so are the rows, without the column `model`.

    Examples
    --------
    >>> from pruncam import networks, pruning
    >>> from pruncam.datasets import catalog
    >>> digits = catalog.load("digits", "test")
    >>> model = networks.initialize(networks.mnist_net(), "pytorch", 0)
    >>> pruned = pruning.global_unstructured(model, 0.5)
    >>> rows = score(model, pruned, digits, methods=["grad-cam"], progress=False)
    >>> len(rows), bool(rows["sp2ps"].between(0, 1).all())
    (355, True)
    """
    check_layers(pruned, "pruned")
    rows = score_many(baseline, {"pruned": pruned}, images, labels, **options)
    return rows.drop(columns="model")


def score_many(
    baseline: nn.Module,
    pruned: Mapping[str, nn.Module],
    images: Images,
    labels: Tensor | None = None,
    **options: Unpack[Options],
) -> pd.DataFrame:
    """Compare the heatmaps of a baseline with those of several models, image by image.

    The heatmaps of the baseline are computed once.

    Parameters
    ----------
    baseline : classifier
    pruned : dict of classifiers by name
        All models need the same classes. They may be on any device, and of any floating-point type
        and number of channels; they are left exactly as they were.
    images : tensor, `ImageSet`, folder or iterable
        A tensor (N, C, H, W), an `ImageSet`, a folder with one sub-folder of images per class, or
        any iterable of (images, labels) batches, such as a DataLoader. uint8 pixels are scaled to
        [0, 1]. The images of a folder are read as RGB, and its classes are numbered in the order
        of their names; `transform` may convert them to grey.
    labels : integer tensor of shape (N,), optional
        Class indices, only with a tensor of images.
    methods : list of str
        CAM methods, see `cams.heatmaps`.
    custom_methods : dict of functions by name
        Further CAM methods: function(model, images (n, C, H, W), target layer (the module), targets
        (n,) class indices) -> heatmaps (n, H, W) in [0, 1], tensor or array. The model is in eval
        mode.
    custom_scores : dict of functions by name
        Further scores: function(x, y) of the heatmaps of two models, (n, H, W) each -> (n,) finite
        numbers, tensor or array. Each becomes a column of its name.
    target_layer : str, optional
        Dotted name of the target layer in every model; by default `cams.default_layer` of each.
    reshape : function, optional
        Turns the output of a target layer that gives tokens into maps, see `cams.heatmaps`.
    output : position, key, attribute or function, optional
        Selects the logits (N, classes) from what the models return, see `cams.heatmaps`. The
        classes exclude each other. Outputs that are probabilities already, as after a softmax, are
        taken as they are. A model with a single logit is scored with `cams.two_classes`.
    target_class : "own", "baseline" or "label"
        The class that a heatmap explains: the model's own top class (default, as in
        pytorch-grad-cam), the baseline's top class, or the label.
    confidence_class : "baseline", "label" or "own"
        The class whose probability is compared: the baseline's top class (default), the label, or
        each model's own top class (PE-score, Eq. 4 leaves it open).
    transform : function of a batch of images, optional
        Applied before the models: normalisation, resizing.
    batch_size : int, optional
        Images per pass; by default what the memory budget of `cams` allows.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    DataFrame with a row per model, method and image
        `model`, `method`, `image` (position), `label` (-1 if unknown); the scores of
        `metrics.SCORES` (`ssim` is not clamped, `iou` is the binary IoU), then the custom scores;
        `baseline_empty`, `pruned_empty` (True where the map of that model is constant, such as
        all zero: it explains nothing, and the scores have their defined values);
        `baseline_prediction`, `pruned_prediction`, `baseline_confidence`, `pruned_confidence`.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid, images are smaller than the SSIM window of 7x7 pixels, the
        models have different numbers of classes, one or several labels instead of classes, or a
        pruned model is the baseline itself.
    """
    pieces = stream(baseline, pruned, images, labels, **options)
    rows = pd.concat(pieces, ignore_index=True)
    return rows.sort_values(["model", "method", "image"], kind="stable", ignore_index=True)


def stream(
    baseline: nn.Module,
    pruned: Mapping[str, nn.Module],
    images: Images,
    labels: Tensor | None = None,
    **options: Unpack[Options],
) -> Iterator[pd.DataFrame]:
    """Iterate over the rows of `score_many` in pieces, one for each batch and model.

    Memory does not grow with the number of images. The arguments are validated at once, before the
    first piece is requested.
    """
    check_models(baseline, pruned)
    batches, resolved = checked_batches(images, labels, options)
    return Comparison(baseline, pruned, resolved).pieces(batches)


def checked_batches(
    images: Images, labels: Tensor | None, options: Options
) -> tuple[Batches, Options]:
    """Return the batches to score and the options with all defaults filled in.

    Raises TypeError or ValueError if images, labels or options are invalid.
    """
    resolved = resolve_options(options)
    batches = Batches(images, labels, resolved["transform"])
    needs_labels = label_option(resolved)
    if needs_labels and not batches.labelled:
        raise ValueError(f"{needs_labels} requires labels: pass them")
    return batches, resolved
