"""The command `pruncam compare`: read two checkpoints, compare them, save the report."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pruncam._core.machine import Machine
from pruncam._core.validation import DEVICES
from pruncam.comparison.comparing import compare
from pruncam.comparison.model_spec import load_function
from pruncam.comparison.pair import Files, load
from pruncam.comparison.report import check_destination
from pruncam.comparison.settings import Settings, option


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


def command(files: Files, settings: Settings, options: CommandOptions) -> Path:
    """Compare two checkpoints, save the report, and return the path of its page.

    Raises what `load`, `compare` and `Report.save` raise.
    """
    folder = Path(options.out).expanduser().absolute()
    check_destination(folder)
    machine = Machine(options.device)
    custom_methods = _functions(options.custom_cam, "custom CAM")
    custom_scores = _functions(options.custom_score, "custom score")
    report = compare(
        load(files, machine=machine),
        settings=settings,
        custom_methods=custom_methods,
        custom_scores=custom_scores,
        machine=machine,
    )
    return report.save(folder)


def _functions(specs: Sequence[str], kind: str) -> dict[str, Callable[..., Any]]:
    """Import functions, by the name after the colon."""
    functions = {spec.rpartition(":")[2]: load_function(spec, kind) for spec in specs}
    if len(functions) < len(specs):
        raise ValueError(f"each {kind} must have a different name, got {', '.join(specs)}")
    return functions
