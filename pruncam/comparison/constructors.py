"""Functions that build networks, by name: torchvision's, timm's, pruncam's, or the user's."""

import copy
import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pruncam import networks
from pruncam._core.extras import needed_for
from pruncam._core.validation import check_choice
from pruncam._nn.wrappers import unwrapped
from pruncam.comparison.user_code import FUNCTION_SPECS, load_function, one_line, split_spec

NETWORK_SPECS = f"torchvision:resnet18, timm:resnet18, pruncam:vgg11, {FUNCTION_SPECS}"
_PRUNCAM_NETWORKS = ("mnist_net", "cifar_net", "stl_net", "vgg11")


@dataclass(frozen=True)
class Constructor:
    """A function that builds a network, and the names of its parameters.

    `library` is "torchvision", "timm" or "pruncam"; empty for a function of the user.
    """

    spec: str
    function: Callable[..., Any]
    library: str
    name: str

    @property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """Return the parameters of the function; none if Python cannot tell them."""
        try:
            return inspect.signature(self.function).parameters
        except (TypeError, ValueError):
            return {}

    def create(self, facts: Mapping[str, Any]) -> nn.Module:
        """Call the function with those of `facts` that it takes, and return a new network.

        Raises ValueError if the function fails or returns no network.
        """
        try:
            arguments = {name: facts[name] for name in self.parameters if name in facts}
            network = self.function(**arguments)
        except (Exception, SystemExit) as error:  # code of the user may raise any exception
            raise ValueError(f"{self.spec} cannot build a network ({one_line(error)})") from error
        if not isinstance(network, nn.Module):
            kind = type(network).__name__
            raise ValueError(f"{self.spec} must return a torch.nn.Module, got {kind}")
        if any(map(torch.nn.parameter.is_lazy, network.parameters())):
            raise ValueError(
                f"{self.spec} has lazy layers, whose sizes are unknown: "
                "run the network on an image before returning it"
            )
        return unwrapped(network) if self.library else self._copy(unwrapped(network))

    def outline(self, facts: Mapping[str, Any]) -> dict[str, torch.Size]:
        """Return the shapes of the state dict of the network that `facts` give."""
        # A function of the user may keep what it builds, which must then be a real network.
        device = "meta" if self.library else "cpu"
        with torch.random.fork_rng(devices=[]):
            try:
                with torch.device(device):
                    network = self.create(facts)
            except ValueError:
                network = self.create(facts)
        return {name: value.shape for name, value in network.state_dict().items()}

    def _copy(self, network: nn.Module) -> nn.Module:
        """Return a copy: the function may return the same network every time."""
        # `weight_norm` keeps a weight that it computed, which deepcopy refuses to copy.
        computed = {
            id(value): value.detach().clone()
            for module in network.modules()
            for value in vars(module).values()
            if isinstance(value, torch.Tensor) and not value.is_leaf
        }
        try:
            return copy.deepcopy(network, computed)
        except Exception as error:
            raise ValueError(
                f"the network of {self.spec} cannot be copied ({one_line(error)}): "
                "return one that copy.deepcopy can copy"
            ) from error


def find_constructor(spec: str) -> Constructor:
    """Return the constructor of a network.

    `spec` is "torchvision:resnet18" (or another torchvision classifier), "timm:NAME" (if timm is
    installed; nothing is downloaded), "pruncam:vgg11", or a function that returns the network,
    "package.module:function" or "FILE.py:function"; its code is run.

    Raises ValueError or OSError if there is no such network.
    """
    library, name = split_spec(spec, "model", NETWORK_SPECS)
    if library == "torchvision":
        return Constructor(spec, _torchvision_function(name), library, name)
    if library == "timm":
        return Constructor(spec, _timm_function(name), library, name)
    if library == "pruncam":
        check_choice("pruncam network", name, _PRUNCAM_NETWORKS)
        return Constructor(spec, getattr(networks, name), library, name)
    return Constructor(spec, load_function(spec, "model"), "", name)


def _torchvision_function(name: str) -> Callable[..., nn.Module]:
    from torchvision import models  # the import takes seconds

    check_name("torchvision classifier", name, models.list_models(module=models))

    def construct(
        num_classes: int = 1000, image_size: int = 224, aux_logits: bool = False
    ) -> nn.Module:
        options: dict[str, Any] = {"num_classes": num_classes}
        if name.startswith("vit_"):
            options["image_size"] = image_size
        elif name.startswith("maxvit"):
            options["input_size"] = (image_size, image_size)
        elif name in ("googlenet", "inception_v3"):
            options |= {"aux_logits": aux_logits, "init_weights": False}
        return models.get_model(name, weights=None, **options)

    return construct


def _timm_function(name: str) -> Callable[..., nn.Module]:
    with needed_for(f"timm:{name}", "timm"):
        import timm
    check_name("timm network", name.partition(".")[0], timm.list_models())

    def construct(
        num_classes: int | None = None, in_chans: int = 3, image_size: int | None = None
    ) -> nn.Module:
        options = {"num_classes": num_classes, "in_chans": in_chans, "img_size": image_size}
        # Of two ways: most networks fit images of any size, and take no size.
        try:
            return timm.create_model(name, pretrained=False, **options)
        except TypeError:
            del options["img_size"]
            return timm.create_model(name, pretrained=False, **options)

    return construct


def check_name(kind: str, name: str, names: Iterable[str]) -> None:
    """Raise ValueError, with similar names, unless `name` is one of many names."""
    known = list(names)
    if name not in known:
        similar = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or known[:3]
        raise ValueError(f"unknown {kind} {name!r}: did you mean {', '.join(similar)}?")
