"""Are committed results still those of the code? `pruncam verify` runs the studies anew.

A study runs from an empty cache, and each of its tables is held against the committed one: names,
settings and counts must be equal, measured numbers must lie in each other's intervals or within a
tolerance (`tolerances`), and no firm verdict may differ. The committed files stay as they are.
"""

import dataclasses
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pruncam._core.store import write_text_atomically
from pruncam.datasets import DataError
from pruncam.report import manifest
from pruncam.report.claims import Claim, read_statements
from pruncam.reproduce.table_check import Movement, TableCheck, check_tables
from pruncam.statistics import Interval
from pruncam.studies.study import Study, StudyResult

RECORD = "verified.json"
_CRITERIA = ("sentence", "criterion", "relation", "limit")  # columns of claims, of every version


@dataclass(frozen=True)
class Committed:
    """A committed result: its folder, its tables by the stem of their file, and its manifest.

    The manifest is empty if the folder has none, as that of the tables the tests expect.
    """

    folder: Path
    tables: Mapping[str, pd.DataFrame]
    manifest: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "Committed":
        """Read a folder of results; raise DataError if a file is damaged."""
        tables = {path.stem: _read_table(path) for path in sorted(folder.glob("*.csv"))}
        return cls(folder, tables, _read_manifest(folder / "manifest.json"))


@dataclass(frozen=True)
class Verification:
    """The outcome for one study: what it broke before or after the run, and the new manifest."""

    checks: list[TableCheck]
    manifest: Mapping[str, Any]

    @property
    def passed(self) -> bool:
        """Whether nothing differs that must not."""
        return not any(check.breaks for check in self.checks)

    @property
    def largest(self) -> Movement | None:
        """The number that moved furthest, as a share of what is allowed."""
        movements = [check.largest for check in self.checks if check.largest]
        return max(movements, key=lambda movement: movement.share, default=None)


def outdated(committed: Committed, study: Study[Any]) -> list[str]:
    """Return why a committed result cannot be that of the study as it is now, in sentences.

    The images of the study must be loaded. Empty if settings, images and criteria are the same.
    """
    return [*_settings(committed, study), *_images(committed, study), *_criteria(committed, study)]


def compare(committed: Committed, result: StudyResult) -> Verification:
    """Return how a new result differs from the committed one."""
    new = {stem: _as_read(table) for stem, table in result.table_files.items()}
    checks = check_tables(committed.tables, new)
    for check in checks:
        if check.table == "claims":
            check.breaks += _changed_verdicts(committed.tables["claims"], result.judged)
    return Verification(checks, result.manifest)


def record(committed: Committed, verification: Verification, date: str) -> Path:
    """Write, beside the committed manifest, by which versions it was verified; return the file."""
    facts = verification.manifest
    largest = verification.largest
    content = {
        "date": date,
        **{name: facts[name] for name in ("device", "system", "python", "packages", "git")},
        "numbers": sum(check.held for check in verification.checks),
        "largest_movement": 0.0 if largest is None else round(largest.share, 4),
        "largest_movement_of": "" if largest is None else largest.cell,
    }
    path = committed.folder / RECORD
    write_text_atomically(path, json.dumps(content, indent=2) + "\n")
    return path


# ---------------------------------------------------------------- before the run


def _settings(committed: Committed, study: Study[Any]) -> Iterator[str]:
    if "config" not in committed.manifest:
        return
    old = committed.manifest["config"]
    new = json.loads(json.dumps(dataclasses.asdict(study.config)))
    names = [name for name in {**old, **new} if old.get(name, ...) != new.get(name, ...)]
    if names:
        yield f"committed with other settings than the profile's: {', '.join(names)}"


def _images(committed: Committed, study: Study[Any]) -> Iterator[str]:
    if "data" not in committed.manifest:
        return
    keys = ("name", "split", "images", "sha256")
    old = [tuple(images[key] for key in keys) for images in committed.manifest["data"]]
    new = [tuple(manifest.image_set(images)[key] for key in keys) for images in study.image_sets]
    differing = [f"{name} {split}" for name, split, *_ in dict.fromkeys(set(old) ^ set(new))]
    if differing:
        names = ", ".join(sorted(set(differing)))
        yield f"committed with other images than those that are here: {names}"


def _criteria(committed: Committed, study: Study[Any]) -> Iterator[str]:
    claims = committed.tables.get("claims")
    if claims is None:
        yield "claims.csv is missing: restore it from the repository"
        return
    statements = read_statements(study.name)
    old = {row["claim"]: [row.get(name) for name in _CRITERIA] for row in claims.to_dict("records")}
    new = {
        claim: [getattr(statement, name) for name in _CRITERIA]
        for claim, statement in statements.items()
    }
    names = [claim for claim in {**old, **new} if old.get(claim) != new.get(claim)]
    if names:
        yield f"committed by older criteria of the claims {', '.join(names)}"


# ---------------------------------------------------------------- after the run


def _changed_verdicts(committed: pd.DataFrame, judged: list[Claim]) -> Iterator[str]:
    """Iterate over the claims whose verdict is firm in one of the results and another now."""
    rows = committed.set_index("claim")
    for claim in judged:
        name = claim.statement.claim
        if name not in rows.index:
            continue
        old = _judged_by(claim, rows.loc[name])
        verdict = rows.loc[name, "verdict"]
        if verdict != claim.verdict and (claim.firm or old.firm):
            yield f"{name}: the firm verdict {verdict!r} is now {claim.verdict!r}"


def _judged_by(claim: Claim, row: pd.Series) -> Claim:
    """Return the claim as the numbers of a committed row judge it."""
    estimate = Interval(row["value"], row["low"], row["high"])
    finding = dataclasses.replace(claim.finding, estimate=estimate)
    return dataclasses.replace(claim, finding=finding)


# ---------------------------------------------------------------- files


def _as_read(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table as it is when read from its file."""
    return pd.read_csv(io.StringIO(table.to_csv(index=False, lineterminator="\n")))


def _read_table(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a table: restore the file from the repository") from error


def _read_manifest(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not JSON: restore the file from the repository") from error
