"""The configuration of the CSG study."""

from dataclasses import dataclass

from pruncam.choices import check_choice, check_number
from pruncam.training import Inputs, Recipe

RAW, TSNE, DEEP_TSNE = "raw pixels", "t-SNE", "autoencoder, t-SNE"
PCA, AUTOENCODER, NETWORK = "PCA", "autoencoder", "trained network"
EMBEDDINGS = (PCA, TSNE, AUTOENCODER, DEEP_TSNE, NETWORK)  # beside raw pixels; the fourth is the CSG paper's own
FLAT = (TSNE, DEEP_TSNE)  # in a plane, where the Parzen volume counts too
REPEATED = (TSNE, AUTOENCODER, DEEP_TSNE, NETWORK)  # that come out otherwise with another seed
INPUTS = Inputs(mean=0.5, std=0.5)  # of the trained network


@dataclass(frozen=True)
class Config:
    """The CSG study: Table 1 of the complexity paper, Table 3 of PE-score, and what their numbers depend on.

    Raises ValueError in one sentence where a value makes no sense.
    """

    halves: tuple[tuple[str, str, int], ...]  # (the paper's data set, ours, side; 0: the pictures' own)
    seed: int
    draws: int  # measurements, each with other samples
    k: int  # neighbours, for tables and figures
    samples_per_class: int  # M, for tables and figures
    ks: tuple[int, ...]  # tried, k among them
    samples: tuple[int, ...]  # M tried, samples_per_class among them
    pools: tuple[int, ...]  # images of a class in pools of several sizes
    pool_draws: int  # pools of each size
    embedded: tuple[str, ...]  # the paper's data sets whose embeddings are tried, among those of `halves`
    embeddings: tuple[str, ...]  # tried beside raw pixels
    repeats: int  # trainings of each embedding that depends on a seed
    pca_dimensions: int
    tsne_images: int  # the first so many
    training_images: int  # the first so many, for autoencoder and network
    code: int  # numbers that the autoencoder makes of a picture
    autoencoding: tuple[int, float]  # (epochs, learning rate), by Adam
    width: int  # first filters of the trained network: the papers' has 128
    training: tuple[tuple[int, float], ...]  # (epochs, learning rate) of the network, by Adam
    batch: int  # of both
    stand_ins: tuple[tuple[str, str, int], ...] = ()  # instead of those in `halves` that are nowhere to be found
    profile: str = "custom"

    def __post_init__(self):
        papers = [paper for paper, *_ in self.halves]
        if not papers or len(set(papers)) < len(papers):
            raise ValueError("halves must be different data sets, one or more")
        for paper, *_ in self.stand_ins:
            check_choice("data set to stand in for", paper, papers)
        for paper, ours, side in (*self.halves, *self.stand_ins):
            if side < 0:
                raise ValueError(f"{paper}: a side is in pixels, or 0 for the pictures' own, got {side} for {ours}")
        lowest = {"draws": 2, "pool_draws": 2, "repeats": 1, "pca_dimensions": 2, "tsne_images": 50, "code": 1}
        for name, least in (lowest | {"training_images": 10, "batch": 2}).items():
            check_number(name, getattr(self, name), whole=True, at_least=least)
        for one, several in (("k", "ks"), ("samples_per_class", "samples")):
            tried = getattr(self, several)
            if list(tried) != sorted(set(tried)) or not tried or tried[0] < 1:
                raise ValueError(f"{several} must rise from 1 or more, got {tried}")
            if getattr(self, one) not in tried:
                raise ValueError(f"{one} must be among {several}, got {getattr(self, one)} and {tried}")
        if list(self.pools) != sorted(set(self.pools)) or (self.pools and self.pools[0] < 2):
            raise ValueError(f"pools must rise from 2 or more images of a class, got {self.pools}")
        for paper in self.embedded:
            check_choice("data set to embed", paper, papers)
        for embedding in self.embeddings:
            check_choice("embedding", embedding, EMBEDDINGS)
        epochs, rate = self.autoencoding
        if epochs < 1 or not 0 < rate < 1:
            raise ValueError(f"autoencoding is (epochs, learning rate), such as (5, 0.002), got {self.autoencoding}")
        self.recipe()  # refuses what makes no sense there

    def recipe(self) -> Recipe:
        """How the network is trained whose features are measured."""
        return Recipe(self.training, self.batch, optimizer="adam")
