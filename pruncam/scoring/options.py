"""Options of a comparison, their defaults and their validation."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypedDict

from torch import Tensor, nn

from pruncam import cams, metrics
from pruncam._core.validation import check_choice, check_functions, check_layers, short_repr
from pruncam._nn.outputs import Output, check_output
from pruncam._nn.wrappers import unwrapped
from pruncam.cams.map_layout import Reshape
from pruncam.cams.validation import check_custom_methods, check_methods

# Heatmaps of the same images by two models, (n, H, W) each -> (n,)
CustomScore = Callable[[Tensor, Tensor], Tensor]

MAPS_OF_PAIR = ("the maps of the baseline", "the maps of the pruned model")
CLASS_SOURCES = ("own", "baseline", "label")

# A custom score needs a name that is not among these columns of the rows.
COLUMNS = (
    "model",
    "method",
    "image",
    "label",
    *metrics.SCORES,
    "baseline_empty",
    "pruned_empty",
    "baseline_prediction",
    "pruned_prediction",
    "baseline_confidence",
    "pruned_confidence",
)


class Options(TypedDict, total=False):
    """Options of a comparison; see `score_many` for their meaning."""

    methods: Sequence[str]
    custom_methods: Mapping[str, cams.CustomMethod]
    custom_scores: Mapping[str, CustomScore]
    target_layer: str | None
    reshape: Reshape | None
    output: Output | None
    target_class: str
    confidence_class: str
    transform: Callable[[Tensor], Tensor] | None
    batch_size: int | None
    progress: bool


DEFAULTS: Options = {
    "methods": cams.DEFAULT_METHODS,
    "custom_methods": {},
    "custom_scores": {},
    "target_layer": None,
    "reshape": None,
    "output": None,
    "target_class": "own",
    "confidence_class": "baseline",
    "transform": None,
    "batch_size": None,
    "progress": True,
}


def resolve_options(options: Options) -> Options:
    """Return the options with all defaults filled in.

    Raises TypeError or ValueError if an option is unknown or has an invalid value.
    """
    unknown = sorted(options.keys() - DEFAULTS.keys())
    if unknown:
        raise TypeError(f"unknown option {', '.join(unknown)}: choose from {', '.join(DEFAULTS)}")
    resolved: Options = {**DEFAULTS, **options}
    _check_options(resolved)
    return resolved


def check_models(baseline: nn.Module, pruned: Mapping[str, nn.Module]) -> None:
    """Raise TypeError unless `baseline` is a model and `pruned` a dict of models by name.

    Raises ValueError if one of them is the baseline itself, which has every score at its best.
    """
    check_layers(baseline, "baseline")
    is_dict = isinstance(pruned, Mapping) and len(pruned) > 0
    if not is_dict or not all(isinstance(name, str) for name in pruned):
        raise TypeError(
            "pruned must be a dict of models by name, not empty (`score` takes a single model)"
        )
    for name, model in pruned.items():
        check_layers(model, f"pruned model {name!r}")
        if unwrapped(model) is unwrapped(baseline):
            raise ValueError(
                f"the baseline and {name!r} are the same object, so every score would be at its "
                "best: prune a copy (copy.deepcopy), or pass a copy to compare equal networks"
            )


def label_option(options: Options) -> str | None:
    """Return the option, as a keyword, that takes the class from the labels; None if none does."""
    for name in ("target_class", "confidence_class"):
        if options[name] == "label":
            return f"{name}='label'"
    return None


def _check_options(options: Options) -> None:
    methods = options["methods"]
    check_methods(methods)
    if len(set(methods)) < len(methods):
        raise ValueError(f"methods must be different, got {short_repr(methods)}")
    check_custom_methods("custom_methods", options["custom_methods"], cams.METHODS)
    check_functions("custom_scores", options["custom_scores"], MAPS_OF_PAIR, COLUMNS)
    if not isinstance(options["target_layer"], str | None):
        kind = type(options["target_layer"]).__name__
        raise TypeError(f"target_layer must be a dotted name or None, got {kind}")
    if options["reshape"] is not None and not callable(options["reshape"]):
        raise TypeError(
            "reshape must be a function of a layer's output, "
            f"got {type(options['reshape']).__name__}"
        )
    check_output(options["output"])
    check_choice("target class", options["target_class"], CLASS_SOURCES)
    check_choice("confidence class", options["confidence_class"], CLASS_SOURCES)
