"""Heatmaps of a classifier: one method, or several from one forward pass."""

from collections.abc import Collection, Sequence

from torch import Tensor, nn

from pruncam._nn.outputs import Output
from pruncam.cams.map_layout import Reshape
from pruncam.cams.model_explainer import Explanation, ModelExplainer


def heatmaps(
    model: nn.Module,
    images: Tensor,
    *,
    method: str,
    target_layer: nn.Module | str | None = None,
    targets: Tensor | Sequence[int] | None = None,
    batch_size: int | None = None,
    engine: str = "fast",
    reshape: Reshape | None = None,
    output: Output | None = None,
) -> Tensor:
    """Return heatmaps of `images` at image size: where the model sees the explained class.

    Parameters
    ----------
    model : any classifier with feature maps, returning logits of shape (N, classes)
        It is evaluated in eval mode and left exactly as it was: mode, gradients, hooks, flags,
        statistics.
    images : float tensor of shape (N, C, H, W)
        Normalised or not, as the model expects; on any device.
    method : one of `cams.METHODS`
        "grad-cam" (Selvaraju et al. 2017), "grad-cam++" (Chattopadhay et al. 2018) or
        "ablation-cam" (Desai & Ramaswamy 2020), each as in pytorch-grad-cam. There, an ablated
        channel becomes 0 only if the image's smallest activation is exactly 0; otherwise it becomes
        about (i + 1) 1e7 less than that, for channel i of every 32. "ablation-cam-zero" always uses
        the paper's 0. After a ReLU the two agree; before one they may not.
        "hires-cam" (Draelos & Carin 2020) and "layer-cam" (Jiang et al. 2021) weight every single
        activation by its gradient, and by its positive gradient.
        Before a ReLU, Grad-CAM++ divides by sums that may nearly vanish: there, float32 itself is
        accurate to about 1e-4.
    target_layer : module, dotted name, or None for `default_layer`
        The default is the last layer with a feature map of at least 4x4 cells, after its
        normalisation, activation and pool. The activation is the output of the layer itself, even
        if a later in-place layer overwrites it. A layer that is applied several times is read at
        its first use.
    targets : (N,) class indices, or None for the model's top class
    batch_size : images per pass; None derives it from a memory budget
    engine : "fast", or "grad-cam" to call the pytorch-grad-cam library (same maps, slower)
    reshape : function from the output of `target_layer` to maps (N, C, h, w)
        For a layer whose output is not (N, C, h, w), such as the tokens of a transformer. The
        layouts of timm's and torchvision's networks are known. It may only move values, since it is
        applied to gradients too, as the library's `reshape_transform`.
    output : position, key or attribute, or function that selects the logits
        For a model that returns more than its logits. `cams.two_classes` makes the logits of both
        classes of a single one.

    Returns
    -------
    float32 tensor of shape (N, H, W), in [0, 1], on the model's device
        All zero if the map is constant or nowhere positive, and for Ablation-CAM if the
        explained logit is exactly 0 (the library divides by it). A negative logit inverts the signs
        of Ablation-CAM's weights, as in the library.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit the model, or the model gives no finite (N, classes) logits;
        if the maps of the target layer have a single cell, or an unknown layout.
    ImportError
        If engine="grad-cam" and the library is not installed.

    Examples
    --------
    >>> import torch
    >>> model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Flatten(), nn.Linear(4, 1))
    >>> values = [[[[1.0]]]], [0.0], [[1.0, 1.0, 1.0, 1.0]], [0.0]
    >>> for parameter, value in zip(model.parameters(), values):
    ...     parameter.data = torch.tensor(value)
    >>> heatmaps(model, torch.tensor([[[[0.0, 1.0], [2.0, 4.0]]]]), method="grad-cam")
    tensor([[[0.0000, 0.2500],
             [0.5000, 1.0000]]])
    """
    explanation = explain(
        model,
        images,
        methods=[method],
        target_layer=target_layer,
        targets=targets,
        batch_size=batch_size,
        engine=engine,
        reshape=reshape,
        output=output,
    )
    return explanation.maps[method]


def explain(
    model: nn.Module,
    images: Tensor,
    *,
    methods: Collection[str],
    target_layer: nn.Module | str | None = None,
    targets: Tensor | Sequence[int] | None = None,
    batch_size: int | None = None,
    engine: str = "fast",
    reshape: Reshape | None = None,
    output: Output | None = None,
) -> Explanation:
    """Return heatmaps by several methods and the logits, from one pass through the model.

    Arguments and errors are those of `heatmaps`. The `targets` of the result are the explained
    classes: those that were passed, or else the model's top classes, which are its predictions.

    May be called in threads, each with a model of its own.
    """
    explainer = ModelExplainer(
        model,
        images,
        methods=methods,
        target_layer=target_layer,
        batch_size=batch_size,
        engine=engine,
        reshape=reshape,
        output=output,
    )
    return explainer.explain(images, targets)
