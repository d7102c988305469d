"""The images of one data set as points, by any embedding; trained networks are stored."""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from torch import Tensor, nn

from pruncam import networks
from pruncam._core.seeds import derive
from pruncam._core.store import Step
from pruncam.datasets import ImageSet
from pruncam.studies.cached_trainer import CachedTrainer
from pruncam.studies.csg import embeddings, encoders
from pruncam.studies.csg.config import (
    AUTOENCODER,
    DEEP_TSNE,
    INPUTS,
    NETWORK,
    PCA,
    RAW,
    TSNE,
    CsgConfig,
)

_TRAINED_VERSION = 1  # raised by hand when the code of the step changes its result
_NETWORK_OF = {AUTOENCODER: AUTOENCODER, DEEP_TSNE: AUTOENCODER, NETWORK: NETWORK}


@dataclass(frozen=True)
class View:
    """A representation of a split's first images as points.

    `repeat` numbers the trainings, or random starts, of the embedding.
    """

    split: str
    embedding: str
    repeat: int
    images: int


@dataclass(frozen=True, eq=False)
class Embedder:
    """The embeddings of a data set, whose networks see the first training images."""

    config: CsgConfig
    train: ImageSet
    trainer: CachedTrainer

    def networks(self, embeddings: set[str]) -> list[tuple[str, int]]:
        """Return the networks that these embeddings need, with the number of each training."""
        needed = {_NETWORK_OF[name] for name in embeddings if name in _NETWORK_OF}
        return [
            (name, repeat)
            for name in (AUTOENCODER, NETWORK)
            for repeat in range(self.config.repeats)
            if name in needed
        ]

    def train_network(self, name: str, repeat: int) -> None:
        """Train the autoencoder or the classifier, unless its weights are in the store."""
        train = partial(self._weights, name, repeat)
        self.trainer.cached(self.training_step(name, repeat), train)

    def network(self, name: str, repeat: int) -> nn.Module:
        """Return the trained autoencoder or classifier."""
        model = self._untrained(name)
        train = partial(self._weights, name, repeat)
        # Not by `trainer.cached`: this runs inside another step, whose seconds include it.
        stored = self.trainer.store.get(self.training_step(name, repeat), train)
        model.load_state_dict(stored.value)
        return model.eval()

    def points(self, images: ImageSet, view: View) -> Tensor:
        """Return images as a view represents them, (N, D)."""
        seed = derive(self.config.seed, view.embedding, view.repeat)
        if view.embedding == PCA:
            return self._components(images, seed)
        if view.embedding == TSNE:
            # Of the first components, which is faster and less noisy.
            return embeddings.plane(self._components(images, seed), seed)
        if view.embedding in (AUTOENCODER, DEEP_TSNE):
            autoencoder = self.network(AUTOENCODER, view.repeat)
            codes = encoders.encode(autoencoder, images)
            return embeddings.plane(codes, seed) if view.embedding == DEEP_TSNE else codes
        if view.embedding == NETWORK:
            network = self.network(NETWORK, view.repeat)
            return encoders.features(network, images, INPUTS)
        return embeddings.pixels(images)

    def inputs(self, view: View) -> dict[str, Any]:
        """Return everything the points of a view depend on, besides the images."""
        if view.embedding == RAW:
            return {}
        inputs = {
            "embedding": view.embedding,
            "repeat": view.repeat,
            "seed": self.config.seed,
        }
        if view.embedding in (PCA, TSNE):
            inputs["dimensions"] = self.config.pca_dimensions
        if view.embedding in _NETWORK_OF:
            network = _NETWORK_OF[view.embedding]
            inputs["trained"] = self._training_inputs(network, view.repeat)
        return inputs

    def _components(self, images: ImageSet, seed: int) -> Tensor:
        dimensions = self.config.pca_dimensions
        return embeddings.principal_components(embeddings.pixels(images), dimensions, seed)

    def _untrained(self, name: str) -> nn.Module:
        if name == AUTOENCODER:
            channels = self.train.images.shape[1]
            return encoders.Autoencoder(channels, self.config.code)
        classes = len(self.train.classes)
        return networks.cifar_net(classes, width=self.config.width)

    def _weights(
        self,
        name: str,
        repeat: int,
    ) -> dict[str, Tensor]:
        """Return the weights of a network, trained now."""
        config, model = self.config, self._untrained(name)
        seed = derive(config.seed, name, repeat)
        check = self.trainer.progress.check
        if name == AUTOENCODER:
            encoders.train_autoencoder(
                model,
                self._training_images,
                config.autoencoding,
                config.batch,
                seed=seed,
                after_epoch=check,
            )
        else:
            encoders.train_classifier(
                model,
                self._training_images,
                config.recipe(),
                INPUTS,
                seed=seed,
                after_epoch=check,
            )
        return model.state_dict()

    @cached_property
    def _training_images(self) -> ImageSet:
        count = min(self.config.training_images, len(self.train))
        return self.train.first(count)

    def training_step(self, name: str, repeat: int) -> Step:
        """Return the step of the weights of a network."""
        return Step("csg-trained", _TRAINED_VERSION, self._training_inputs(name, repeat))

    def _training_inputs(
        self,
        name: str,
        repeat: int,
    ) -> dict[str, Any]:
        """Return everything a trained network depends on."""
        config = self.config
        inputs = {
            "network": name,
            "train": self._training_images.checksum,
            "batch": config.batch,
            "seed": config.seed,
            "repeat": repeat,
        }
        if name == AUTOENCODER:
            return inputs | {"code": config.code, "schedule": config.autoencoding}
        return inputs | {"width": config.width, "schedule": config.training}
