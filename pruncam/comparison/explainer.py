"""Heatmaps of the networks of a comparison, all computed in the same way."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from pruncam import cams
from pruncam.cams import CustomMethod
from pruncam.comparison.pair import Pair
from pruncam.comparison.settings import Normalisation, Settings


@dataclass(frozen=True)
class Explainer:
    """The images and networks of a pair, and the CAMs that explain them."""

    pair: Pair
    settings: Settings
    normalisation: Normalisation
    custom_methods: Mapping[str, CustomMethod]

    def inputs(self, numbers: Tensor) -> Tensor:
        """Return the normalised images of these numbers, (n, C, H, W)."""
        pixels = self.pair.images.pixels(numbers).float() / 255
        return self.normalisation.to(pixels.device)(pixels)

    def explain(
        self, network: nn.Module, inputs: Tensor, targets: Tensor | None = None
    ) -> cams.Explanation:
        """Return the heatmaps by every CAM, of the classes `targets` or the network's top ones."""
        return self._explain(network, inputs, self.settings.methods, self.custom_methods, targets)

    def heatmaps(self, network: nn.Module, inputs: Tensor, method: str) -> Tensor:
        """Return the heatmaps (n, H, W) of the network's top classes by one CAM."""
        if method in self.custom_methods:
            custom = {method: self.custom_methods[method]}
            explanation = self._explain(network, inputs, self.settings.methods[:1], custom)
        else:
            explanation = self._explain(network, inputs, [method], {})
        return explanation.maps[method]

    def _explain(
        self,
        network: nn.Module,
        inputs: Tensor,
        methods: Collection[str],
        custom_methods: Mapping[str, CustomMethod],
        targets: Tensor | None = None,
    ) -> cams.Explanation:
        return cams.explain_with_custom(
            network,
            inputs,
            methods=methods,
            custom_methods=custom_methods,
            targets=targets,
            target_layer=self.settings.target_layer,
            reshape=self.pair.reshape,
            output=self.pair.output,
        )
