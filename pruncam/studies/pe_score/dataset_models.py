"""The models of one data set, as the claims of the PE-score study ask for them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from pruncam._core.seeds import derive
from pruncam.report.claims import Finding
from pruncam.scoring.controls import CHANCE
from pruncam.statistics import Interval, distance_from, extreme
from pruncam.studies.paired_scores import PairedScores
from pruncam.studies.pe_score.config import FASTER, WEIGHT

_CRITERIA = (WEIGHT, FASTER)  # those of the paper's figures
_ORDERS = 500  # random orders of the rates, for the level without a relation

Model = tuple[str, float]  # criterion and rate
Levels = Mapping[tuple, Mapping[float, np.ndarray]]  # curves by (criterion, ...): values by rate


@dataclass(frozen=True)
class DatasetModels:
    """The models of one data set with their scores, arrays of shape (trainings, images).

    They are those of the paper's criteria. A model that has collapsed is in `all` and not in
    `standing`: its heatmaps are not judged.
    """

    scores: PairedScores
    dataset: str

    @property
    def methods(self) -> Sequence[str]:
        """The CAM methods."""
        return self.scores.config.methods

    @property
    def rules(self) -> list[str]:
        """The paper's criteria that were run at every rate."""
        rates = self.scores.config.rates
        return [rule for rule in _CRITERIA if self.scores.has(self.dataset, rule, *rates)]

    @property
    def all(self) -> list[Model]:
        """All pruned models of these criteria."""
        return [(rule, rate) for rule in self.rules for rate in self.scores.config.rates]

    @cached_property
    def standing(self) -> list[Model]:
        """The pruned models that have not collapsed."""
        return [model for model in self.all if not self.has_collapsed(model)]

    def has_collapsed(self, model: Model) -> bool:
        """Return True if the model lost more than half of its accuracy above chance."""
        return (self.dataset, *model) in self.scores.collapsed

    def highest(self, rule: str) -> Model | None:
        """Return a criterion's model of the highest rate that has not collapsed."""
        of_rule = [model for model in self.standing if model[0] == rule]
        return of_rule[-1] if of_rule else None

    @property
    def missing(self) -> str:
        """What heatmaps cannot be judged without, in words; empty if nothing is missing."""
        if not self.rules:
            return f"this profile does not have {self.dataset} with {' or '.join(_CRITERIA)}"
        if self.scores.floor(self.dataset) is None:
            return f"{self.dataset}: fine-tuning alone was not measured (floor_seeds)"
        if any(self.scores.chance(self.dataset, method) is None for method in self.methods):
            return f"{self.dataset}: no level of chance was measured (chance_seeds)"
        if not self.standing:
            return f"{self.dataset}: all pruned networks have collapsed"
        return ""

    def of(self, model: Model, method: str | None = None, score: str = "pe") -> np.ndarray:
        """Return a model's score with one CAM method, or the mean of all of them."""
        return self.scores.of(self.dataset, *model, method, score)

    def floor(self, method: str | None = None, score: str = "pe") -> np.ndarray:
        """Return the score of fine-tuning alone; it must have been measured."""
        floor = self.scores.floor(self.dataset, method, score)
        assert floor is not None
        return floor

    def chance(self, method: str | None = None, score: str = "pe") -> np.ndarray:
        """Return the score at chance, which every CAM method has its own control for."""
        methods = [method] if method else self.methods
        levels = [self.scores.chance(self.dataset, name, score) for name in methods]
        return np.mean(np.broadcast_arrays(*levels), axis=0)

    def finding(
        self, estimate: Interval, evidence: str, *, at_floor: float, at_chance: float
    ) -> Finding:
        """Return a finding that rests on all trainings of this data set."""
        return Finding(
            estimate=estimate,
            evidence=evidence,
            at_floor=float(at_floor),
            at_chance=float(at_chance),
            trainings=self.scores.trainings_of([self.dataset]),
        )

    def distance(
        self,
        values: Mapping[tuple, np.ndarray],
        printed: float,
        select: Callable[[Iterable[float]], float],
    ) -> Interval:
        """Return the smallest or largest distance of values from a printed number.

        `select` is min or max; `values` are as in `PairedScores.simultaneous`.
        """
        intervals = self.scores.simultaneous(values).values()
        return extreme([distance_from(interval, printed) for interval in intervals], select)

    # ------------------------------------------------------------ accuracy, in % and points

    def correct(self, model: Model) -> np.ndarray:
        """Return 100 for each image that the model classifies correctly, else 0."""
        return self.of(model, self.methods[0], "correct")

    def loss(self, model: Model) -> np.ndarray:
        """Return the points lost against the unpruned network, by image."""
        return self.scores.baseline_correct(self.dataset) - self.correct(model)

    @property
    def floor_loss(self) -> float:
        """The points that fine-tuning alone loses; 0 if it was not run."""
        floor = self.scores.floor(self.dataset, self.methods[0], "correct")
        baseline = self.scores.baseline_correct(self.dataset)
        return 0.0 if floor is None else float(baseline.mean() - floor.mean())

    @property
    def chance_loss(self) -> float:
        """The points that a network with random weights loses; if there is none, by guessing."""
        if self.scores.has(self.dataset, CHANCE, 0.0):
            return float(self.loss((CHANCE, 0.0)).mean())
        baseline = self.scores.baseline_correct(self.dataset)
        return float(baseline.mean() - self.scores.guess(self.dataset))

    # ------------------------------------------------------------ from rate to rate

    def pe_levels(self) -> Levels:
        """Return PE by rate for every (criterion, CAM method), from fine-tuning alone on."""
        levels = {}
        for method in self.methods:
            pes = {model: self.of(model, method) for model in self.standing}
            for rule in self.rules:
                levels[rule, method] = _by_rate(rule, self.floor(method), pes)
        return levels

    def accuracy_levels(self) -> Levels:
        """Return accuracy by rate for every (criterion,), from the unpruned network on."""
        baseline = self.scores.baseline_correct(self.dataset)
        accuracies = {model: self.correct(model) for model in self.standing}
        return {(rule,): _by_rate(rule, baseline, accuracies) for rule in self.rules}

    def falls(self, levels: Levels) -> dict[tuple, np.ndarray]:
        """Return each fall from one rate to the next, by (data set, ..., rate, next rate)."""
        return {
            (self.dataset, *key, low, high): before - after
            for key, by_rate in levels.items()
            for (low, before), (high, after) in pairwise(by_rate.items())
        }

    def least_fall_without_order(self, levels: Levels) -> float:
        """Return the smallest fall if the rates came in random order, the mean of many orders."""
        random = np.random.default_rng(derive(self.scores.config.seed, "orders", self.dataset))
        least = np.full(_ORDERS, np.inf)
        for by_rate in levels.values():
            first, *others = (values.mean() for values in by_rate.values())
            orders = random.permuted(np.tile(others, (_ORDERS, 1)), axis=1)
            falls = -np.diff(orders, axis=1, prepend=first)
            least = np.minimum(least, falls.min(axis=1, initial=np.inf))
        return float(least.mean())


def _by_rate(
    rule: str, start: np.ndarray, values: Mapping[Model, np.ndarray]
) -> dict[float, np.ndarray]:
    """Return the values of a criterion's models by rate, and `start` at rate 0."""
    return {0.0: start} | {rate: array for (name, rate), array in values.items() if name == rule}
