"""MNIST IoU: do heatmaps fit their digits worse as a network is pruned? (bachelor's thesis, Groningen)"""

import time
from typing import Any

import pandas as pd

from pruncam import training
from pruncam.choices import PROFILES
from pruncam.datasets import ImageSet, catalog
from pruncam.models import mnist_net
from pruncam.progress import Progress
from pruncam.report import claims as claim_report
from pruncam.report.claims import Claim
from pruncam.store import Store
from pruncam.studies import study, workshop
from pruncam.studies.mnist_iou import claims, figures, samples, sanity, tables
from pruncam.studies.mnist_iou.chain import Chain
from pruncam.studies.mnist_iou.config import VARIANTS, Config
from pruncam.studies.study import Machine, StudyResult
from pruncam.studies.workshop import Workshop

__all__ = ["VARIANTS", "Config", "configure", "run"]

_SHAPE = (1, 28, 28)


def configure(profile: str, **overrides: Any) -> Config:
    """The configuration of a profile ("quick", "laptop", "paper") with single values overridden."""
    return study.configure(Config, "mnist_iou", profile, **overrides)


def run(config: Config, progress: bool = True, *, machine: Machine | None = None) -> StudyResult:
    """Train, prune, explain and judge; finished steps are taken from the store, so a second run goes on.

    Raises ValueError or DataError in one sentence where the data do not fit the configuration or are missing.
    """
    if not isinstance(config, Config):
        profile = config if isinstance(config, str) and config in PROFILES else "quick"
        raise TypeError(f"config must be a Config: use mnist_iou.configure({profile!r})")
    start, machine = time.perf_counter(), machine or Machine()
    train, test = _load(config, "train", machine), _load(config, "test", machine)
    bar = Progress("mnist_iou", "epoch", progress)
    chains = _chains(config, machine, train, test, bar)
    bar.expect(sum(chain.epochs for chain in chains))
    try:
        scores, choices = _scores(chains, config, _parallel(machine, chains), bar)
    finally:
        bar.close()
    sampled = samples.choose(chains[0], scores[tables.BASE, config.seeds[0]])
    found = _tables(config, scores, choices, sampled) | {"sanity": _sanity(chains[0])}
    judged = claims.judge(config, found["figure_3_1"], found["levels"], found["losses"], _departs(config))
    facts = {
        "profile": config.profile,
        "engine": chains[0].workshop.engine,
        "models": sum(len(chain) for chain in scores.values()),
        **workshop.facts(chain.workshop for chain in chains),
        "wall_seconds": round(time.perf_counter() - start, 1),
    }
    return StudyResult(
        study="mnist_iou" if config.dataset in ("mnist", "digits") else f"mnist_iou-{config.dataset}",
        config=config,
        tables=found,
        claims=claim_report.table(judged),
        drawings=figures.drawings(config, found, sampled, test.provenance),
        manifest=study.manifest(config, machine, [train, test], **facts),
        stable_lines=_stable(config, found["levels"], judged),
    )


def _parallel(machine: Machine, chains: list[Chain]) -> int:
    trains = Machine("cpu", jobs=machine.jobs) if chains[0].workshop.engine == "fused" else machine
    return trains.parallel(len(chains))


def _departs(config: Config) -> bool:
    """Whether the data are not all of the thesis's: what holds there holds on a stand-in."""
    return config.dataset != "mnist" or config.train_images is not None or config.test_images is not None


def _load(config: Config, split: str, machine: Machine) -> ImageSet:
    found = catalog.load(config.dataset, split, data_dir=machine.data_dir)
    if found.images.shape[1:] != _SHAPE:
        raise ValueError(
            f"the MNIST network takes 1x28x28 images, {config.dataset} has {tuple(found.images.shape[1:])}"
        )
    count = getattr(config, f"{split}_images")
    return (found if count is None else found.first(count)).to(machine.torch_device)


def _chains(config: Config, machine: Machine, train: ImageSet, test: ImageSet, progress: Progress) -> list[Chain]:
    plans = [(tables.BASE, config, seed) for seed in config.seeds + config.more_seeds]
    for name in config.variants:
        plans += [(name, config.variant(name), seed) for seed in config.seeds[: config.variant_seeds]]
    engine = training.resolve_engine(mnist_net(), "auto", config.recipe("retraining"))
    shared = (Store(), machine.torch_device, progress, engine)
    return [Chain(changed, seed, name, train, test, Workshop(*shared)) for name, changed, seed in plans]


def _scores(chains: list[Chain], config: Config, jobs: int, progress: Progress) -> tuple[tables.Scores, dict]:
    """All chains' scores, and for the thesis's seeds those under other choices of layer and class."""

    def work(chain: Chain):
        scores = chain.run()
        wanted = chain.variant == tables.BASE and chain.seed in config.seeds
        return scores, chain.choices() if wanted else None

    results = study.in_threads(work, chains, jobs, progress)
    scores = {(chain.variant, chain.seed): found for chain, (found, _) in zip(chains, results, strict=True)}
    choices = {chain.seed: found for chain, (_, found) in zip(chains, results, strict=True) if found}
    return scores, choices


def _tables(config: Config, scores: tables.Scores, choices: dict, sampled: dict) -> dict:
    levels, by_level = tables.levels(scores), tables.by_level(config, scores)
    shown = {"2.4": sampled["shown"][0].iou[0], "4.2": sampled["early"][0].iou[0]}
    if config.levels >= 10:
        shown["4.1"] = sampled["early"][0].iou[10]
    return {
        "published": tables.beside_the_thesis(config, by_level, levels, shown),
        "3_1": tables.correlations(config, by_level, levels),
        "figure_3_1": by_level,
        "losses": tables.costs_nothing(config, levels),
        "correctness": tables.correctness(config, levels),
        "fits": tables.fits(by_level, levels, config),
        "seeds": tables.seeds(config, levels),
        "sensitivity": tables.sensitivity(config, levels, choices),
        "levels": levels,
    }


def _sanity(chain: Chain) -> pd.DataFrame:
    return sanity.table(chain.clean, chain.noisy[:, 0].float() / 255, chain.seed)


def _stable(config: Config, levels: pd.DataFrame, judged: list[Claim]) -> list[str]:
    """What is the same on every machine."""
    first = levels[(levels["variant"] == tables.BASE) & (levels["seed"] == config.seeds[0])]
    chains = levels[["variant", "seed"]].drop_duplicates()
    lines = [
        f"{len(levels)} models: {len(chains)} chains of {config.levels + 1} levels, "
        f"{(chains['variant'] == tables.BASE).sum()} of them under the main configuration",
        f"weights remaining: {', '.join(str(count) for count in first['remaining'])}",
    ]
    return lines + [f"{claim.claim} {claim.verdict}" for claim in judged if claim.firm]
