"""Findings on the claims about places in heatmaps: P7b to P7d, P10 and P11."""

import numpy as np
import pandas as pd

from pruncam.report.claims import Finding, Statement
from pruncam.scoring.controls import CHANCE, FLOOR, SHUFFLED
from pruncam.studies.experiment import BASELINE
from pruncam.studies.pe_score.dataset_models import DatasetModels
from pruncam.studies.pe_score.score_claims import untested


def map_overlap(statement: Statement, models: DatasetModels) -> Finding:
    """P7b, P7c: at the highest rate that has not collapsed, the maps keep their place, or move.

    The scale is IoU from chance (0) to fine-tuning alone (1).
    """
    rule = statement.parameters["rule"]
    highest = None if models.missing else models.highest(rule)
    if highest is None:
        return untested(models.missing or f"{models.dataset}: every network of {rule} collapsed")
    overlap = models.of(highest, score="iou")
    return _position(models, overlap, f"{rule} at {highest[1]:.0%}: IoU {overlap.mean():.3f}")


def high_pe_ensures_place(statement: Statement, models: DatasetModels) -> Finding:
    """P11: the lowest IoU that a PE of 0.9 leaves room for, from chance (0) to fine-tuning (1).

    A harmonic mean of three numbers up to 1 is p or more only if each of them is 1 / (3/p - 2).
    """
    if models.missing:
        return untested(models.missing)
    pe = statement.parameters["pe"]
    lowest = 1 / (3 / pe - 2)
    return _position(models, np.array(lowest), f"a PE of {pe:g} needs an IoU of {lowest:.2f}")


def _position(models: DatasetModels, overlap: np.ndarray, text: str) -> Finding:
    """Return the finding on an IoU, on the scale from chance (0) to fine-tuning alone (1)."""
    floor, chance = models.floor(score="iou"), models.chance(score="iou")
    position = models.scores.position(overlap, floor=floor, chance=chance)
    if position is None:
        return untested("fine-tuning alone and chance cannot be told apart")
    evidence = f"{text}; fine-tuning alone {floor.mean():.3f}, chance {chance.mean():.3f}"
    return models.finding(position, evidence, at_floor=1, at_chance=0)


def intensity_falls(
    statement: Statement, models: DatasetModels, intensities: pd.DataFrame | None
) -> Finding:
    """P7d: at the highest rate that has not collapsed, the bright pixels are less bright.

    `intensities` are the rows of `map_intensity.by_image`; images with an empty map are left out.
    """
    rule = statement.parameters["rule"]
    highest = None if models.missing else models.highest(rule)
    if highest is None or intensities is None:
        return untested(models.missing or f"no intensity with {rule} was measured")
    of_dataset = intensities[intensities["dataset"] == models.dataset]
    by_model = of_dataset.pivot_table("intensity", ["rule", "rate"], "image", dropna=False)
    levels = by_model.loc[[(FLOOR, 0.0), highest, (SHUFFLED, 0.0)]].dropna(axis=1)
    if levels.empty:
        return untested("no image has maps of all models that are not empty")
    floor, pruned, other = levels.to_numpy()
    evidence = (
        f"{rule} at {highest[1]:.0%}: {pruned.mean():.2f} of the unpruned network's intensity, "
        f"fine-tuning alone {floor.mean():.2f}, maps of other images {other.mean():.2f}; "
        f"{levels.shape[1]} images"
    )
    return Finding(
        estimate=models.scores.interval(floor - pruned),
        evidence=evidence,
        at_floor=0.0,
        at_chance=float((floor - other).mean()),
    )


def best_localisation(
    statement: Statement, models: DatasetModels, hits: pd.DataFrame | None
) -> Finding:
    """P10: one CAM of the unpruned network hits the object best; judged against the next best.

    `hits` are the rows of `localisation.by_image`.
    """
    cam = statement.parameters["method"]
    if hits is None or len(models.methods) < 2 or cam not in models.methods:
        return untested("this profile lacks a CAM, or images with known objects")
    if not {FLOOR, CHANCE} <= set(hits["rule"]):
        return untested("fine-tuning alone or random weights were not measured")
    unpruned = _margins(models, hits, BASELINE.rule, cam)
    _, estimate = models.scores.extreme(unpruned, min)
    means = hits[hits["rule"] == BASELINE.rule].groupby("method", sort=False, observed=True)
    evidence = ", ".join(
        f"{method} {row.iou_object:.3f} (energy {row.energy:.3f})"
        for method, row in means[["iou_object", "energy"]].mean().iterrows()
    )
    at_floor, at_chance = (
        min(float(margin.mean()) for margin in _margins(models, hits, rule, cam).values())
        for rule in (FLOOR, CHANCE)
    )
    return Finding(
        estimate=estimate, evidence=f"IoU: {evidence}", at_floor=at_floor, at_chance=at_chance
    )


def _margins(
    models: DatasetModels, hits: pd.DataFrame, rule: str, cam: str
) -> dict[tuple, np.ndarray]:
    """Return by image how much better a CAM hits the object than each other one."""
    by_cam = hits[hits["rule"] == rule].pivot_table("iou_object", "method", "image", observed=True)
    return {
        (models.dataset, other): (by_cam.loc[cam] - by_cam.loc[other]).to_numpy()
        for other in models.methods
        if other != cam
    }
