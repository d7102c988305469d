"""The command `pruncam compare`: read two checkpoints, compare them, save and judge the report."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pruncam import metrics
from pruncam._core.validation import check_choice
from pruncam.comparison.cluster_shards import report_on_cluster
from pruncam.comparison.command_options import CommandOptions, ReportOptions, load_pair, run_of
from pruncam.comparison.comparing import compare, compare_shard
from pruncam.comparison.files import Files
from pruncam.comparison.gate import Gate, read_gate
from pruncam.comparison.merging import merge
from pruncam.comparison.model_card import step_summary
from pruncam.comparison.report import Report, check_destination
from pruncam.comparison.settings import Settings
from pruncam.comparison.shard_files import check_shard_folder, save_shard, shard_folder
from pruncam.comparison.shards import parse_shard


@dataclass(frozen=True)
class Outcome:
    """A saved report, its page, and why it failed the gate.

    `failures` is None without a gate, and empty if the gate is passed.
    """

    report: Report
    page: Path
    failures: list[str] | None

    @property
    def exit_status(self) -> int:
        """Return 1 if the gate failed, else 0."""
        return 1 if self.failures else 0

    def as_json(self) -> dict[str, Any]:
        """Return the verdict, the summary and the main tables as JSON can hold them."""
        return {
            "passed": None if self.failures is None else not self.failures,
            "failures": self.failures or [],
            "report": str(self.page),
            **self.report.as_json(),
        }


def command(files: Files, settings: Settings, options: CommandOptions) -> Outcome:
    """Compare two checkpoints, save the report and judge it.

    In a GitHub workflow the report's model card is added to the summary of the step. Raises what
    `load`, `compare` and `Report.save` raise, and ValueError for a gate that makes no sense.
    """
    folder = Path(options.out).expanduser().absolute()
    check_destination(folder)
    run = run_of(options)
    gate = read_gate(options.fail_below, options.method, list(run.custom_scores))
    if options.method not in (None, *settings.methods, *run.custom_methods):
        settings = replace(settings, methods=(*settings.methods, options.method))
    if options.cluster is None:
        pair = load_pair(files, settings, options, run.machine)
        report = compare(pair, settings=settings, **vars(run))
    else:
        report = report_on_cluster(files, settings, options, run)
    return _finish(report, folder, gate)


def shard_command(files: Files, settings: Settings, options: CommandOptions) -> Path:
    """Measure a shard of the comparison of two checkpoints; return the folder it is written to.

    Raises what `load`, `compare_shard` and `save_shard` raise, and ValueError for options that
    belong to the report of all shards.
    """
    for name in ("fail_below", "method", "json"):
        if getattr(options, name):
            raise ValueError(
                f"--{name.replace('_', '-')} is about the report of all shards: pass it to "
                "`pruncam merge`"
            )
    number, count = parse_shard(str(options.shard))
    parent = Path(options.out).expanduser().absolute()
    check_shard_folder(shard_folder(parent, number, count))
    run = run_of(options)
    pair = load_pair(files, settings, options, run.machine)
    shard = compare_shard(str(options.shard), pair, settings=settings, **vars(run))
    return save_shard(shard, parent)


def merge_command(folders: Sequence[str], options: ReportOptions) -> Outcome:
    """Merge the shards of a comparison, save their report and judge it, as `command` does.

    Raises what `merge` and `Report.save` raise, and ValueError for a gate that makes no sense.
    """
    folder = Path(options.out).expanduser().absolute()
    check_destination(folder)
    report = merge(folders)
    summary = report.tables["summary"]
    scores = [score for score in summary["score"].unique() if score not in metrics.SCORES]
    gate = read_gate(options.fail_below, options.method, scores)
    if options.method is not None:
        check_choice("CAM of the shards", options.method, list(summary["method"].unique()))
    return _finish(report, folder, gate)


def _finish(report: Report, folder: Path, gate: Gate | None) -> Outcome:
    """Save and judge a report."""
    page = report.save(folder)
    failures = None if gate is None else gate.judge(report.tables["summary"])
    _add_to_step_summary(step_summary(report.model_card(), failures))
    return Outcome(report, page, failures)


def _add_to_step_summary(text: str) -> None:
    """Append Markdown to the summary of a step in a GitHub workflow; elsewhere do nothing."""
    file = os.environ.get("GITHUB_STEP_SUMMARY")
    if file:
        with Path(file).open("a", encoding="utf-8") as summary:
            summary.write(f"{text}\n")
