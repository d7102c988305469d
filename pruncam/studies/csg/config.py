"""The configuration of the CSG study."""

from dataclasses import dataclass

from pruncam._core.validation import check_choice, check_number
from pruncam.profiles import DatasetSpec
from pruncam.studies.config import Schedule, check_datasets
from pruncam.training import Inputs, Recipe

# The representations of images as points. Beside raw pixels, "autoencoder, t-SNE" is that of
# Branchaud-Charron et al. 2019, who introduced CSG.
RAW, TSNE, DEEP_TSNE = "raw pixels", "t-SNE", "autoencoder, t-SNE"
PCA, AUTOENCODER, NETWORK = "PCA", "autoencoder", "trained network"
EMBEDDINGS = (PCA, TSNE, AUTOENCODER, DEEP_TSNE, NETWORK)
PLANAR = (TSNE, DEEP_TSNE)  # in two dimensions, where CSG can use the Parzen volume
SEEDED = (TSNE, AUTOENCODER, DEEP_TSNE, NETWORK)  # those that depend on a seed
INPUTS = Inputs(mean=0.5, std=0.5)  # of the trained network

_LOWEST = {
    "draws": 2,
    "pool_draws": 2,
    "repeats": 1,
    "pca_dimensions": 2,
    "tsne_images": 50,
    "training_images": 10,
    "code": 1,
    "batch": 2,
}


@dataclass(frozen=True, kw_only=True)
class CsgConfig:
    """Settings of the CSG study: Table 1 of the complexity paper and Table 3 of PE-score.

    Further settings vary what the printed numbers depend on. Raises ValueError in one sentence if a
    value makes no sense.
    """

    datasets: tuple[DatasetSpec, ...]
    seed: int
    draws: int  # number of measurements, each with other samples
    k: int  # neighbours, for tables and figures
    samples_per_class: int  # M, for tables and figures
    ks: tuple[int, ...]  # all values of k that are tried
    samples: tuple[int, ...]  # all values of M that are tried
    pools: tuple[int, ...]  # images per class in pools of several sizes
    pool_draws: int  # number of pools of each size
    embedded: tuple[str, ...]  # data sets whose embeddings are tried
    embeddings: tuple[str, ...]  # tried beside raw pixels
    repeats: int  # trainings of each embedding that depends on a seed
    pca_dimensions: int
    tsne_images: int  # number of images for t-SNE, taken from the start
    training_images: int  # number of images for training networks, taken from the start
    code: int  # dimensions of the autoencoder's code
    autoencoding: tuple[int, float]  # epochs and learning rate of the autoencoder, by Adam
    width: int  # filters of the trained network's first convolution; the papers' has 128
    training: Schedule  # of the network, by Adam
    batch: int  # batch size of both trainings
    stand_ins: tuple[DatasetSpec, ...] = ()  # used if a data set itself is missing
    profile: str = "custom"

    def __post_init__(self):
        check_datasets(self.datasets)
        papers = [spec.paper for spec in self.datasets]
        for spec in self.stand_ins:
            check_choice("data set to replace", spec.paper, papers)
        for dataset in self.embedded:
            check_choice("data set to embed", dataset, papers)
        for embedding in self.embeddings:
            check_choice("embedding", embedding, EMBEDDINGS)
        for name, lowest in _LOWEST.items():
            check_number(name, getattr(self, name), whole=True, at_least=lowest)
        _check_tried("k", self.k, "ks", self.ks)
        _check_tried("samples_per_class", self.samples_per_class, "samples", self.samples)
        self._check_pools()
        self._check_training()

    def _check_pools(self) -> None:
        ascending = list(self.pools) == sorted(set(self.pools))
        if not ascending or min(self.pools, default=2) < 2:
            raise ValueError(f"pools must rise from 2 or more images per class, got {self.pools}")

    def _check_training(self) -> None:
        epochs, rate = self.autoencoding
        if epochs < 1 or not 0 < rate < 1:
            raise ValueError(
                "autoencoding is (epochs, learning rate), such as (5, 0.002), "
                f"got {self.autoencoding}"
            )
        self.recipe()  # checks its values

    @property
    def tried_settings(self) -> list[tuple[int, int]]:
        """The study's own (k, M), then all that differ from it in one of the two."""
        own = (self.k, self.samples_per_class)
        settings = [own]
        settings += [(k, self.samples_per_class) for k in self.ks if k != self.k]
        settings += [(self.k, m) for m in self.samples if m != self.samples_per_class]
        return settings

    def recipe(self) -> Recipe:
        """Return the recipe of the network whose features are measured."""
        return Recipe(self.training, self.batch, optimizer="adam")


def _check_tried(
    name: str,
    value: int,
    options_name: str,
    options: tuple[int, ...],
) -> None:
    """Raise ValueError unless the options rise from 1 or more, and the value is among them."""
    ascending = list(options) == sorted(set(options))
    if not ascending or not options or options[0] < 1:
        raise ValueError(f"{options_name} must rise from 1 or more, got {options}")
    if value not in options:
        raise ValueError(f"{name} must be among {options_name}, got {value} and {options}")
