"""The command `pruncam compare`: read two checkpoints, compare them, save and judge the report."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pruncam._core.machine import Machine
from pruncam._core.validation import DEVICES
from pruncam.comparison.command_words import command_text
from pruncam.comparison.comparing import compare
from pruncam.comparison.files import Files, load
from pruncam.comparison.gate import read_gate
from pruncam.comparison.model_card import step_summary
from pruncam.comparison.report import Report, check_destination
from pruncam.comparison.settings import Settings, option
from pruncam.comparison.user_code import load_function


@dataclass(frozen=True)
class CommandOptions:
    """The options of `pruncam compare` besides `Files` and `Settings`.

    `custom_cam` and `custom_score` name functions as "FILE.py:function".
    """

    out: str | os.PathLike = field(
        metadata={"metavar": "REPORT", "help": "folder to write; report.html in it is the report"}
    )
    custom_cam: tuple[str, ...] = option(
        (), metavar="FILE.py:function", help="custom CAM methods, in addition to --methods"
    )
    custom_score: tuple[str, ...] = option(
        (), metavar="FILE.py:function", help="custom scores, in addition to the built-in ones"
    )
    device: str = option("auto", help=f"one of {', '.join(DEVICES)}")
    fail_below: tuple[str, ...] = option(
        (),
        metavar="SCORE=NUMBER",
        help="exit with status 1 if a mean score is below this number, such as sp2ps=0.8",
    )
    method: str | None = option(
        None, metavar="CAM", help="CAM that --fail-below judges (default: every one)"
    )
    json: bool = option(False, help="print the result as JSON, and nothing else")


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
    machine = Machine(options.device)
    custom_methods = _functions(options.custom_cam, "custom CAM")
    custom_scores = _functions(options.custom_score, "custom score")
    gate = read_gate(options.fail_below, options.method, list(custom_scores))
    if options.method not in (None, *settings.methods, *custom_methods):
        settings = replace(settings, methods=(*settings.methods, options.method))
    pair = load(files, machine=machine, progress=True)
    origin = {**(pair.origin or {}), "command": command_text(files, settings, options)}
    report = compare(
        replace(pair, origin=origin),
        settings=settings,
        custom_methods=custom_methods,
        custom_scores=custom_scores,
        machine=machine,
    )
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


def _functions(specs: Sequence[str], kind: str) -> dict[str, Callable[..., Any]]:
    """Import functions, by the name after the colon."""
    functions = {spec.rpartition(":")[2]: load_function(spec, kind) for spec in specs}
    if len(functions) < len(specs):
        raise ValueError(f"each {kind} must have a different name, got {', '.join(specs)}")
    return functions
