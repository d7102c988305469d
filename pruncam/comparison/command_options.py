"""The options of `pruncam compare` and `pruncam merge`, and what they name."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pruncam._core.machine import Machine
from pruncam._core.validation import DEVICES, check_cluster
from pruncam.comparison.command_words import command_text
from pruncam.comparison.files import Files, load
from pruncam.comparison.pair import Pair
from pruncam.comparison.settings import Settings, option
from pruncam.comparison.user_code import load_function


@dataclass(frozen=True)
class ReportOptions:
    """The options of a report: those of `pruncam merge`."""

    out: str | os.PathLike = field(
        metadata={"metavar": "REPORT", "help": "folder to write; report.html in it is the report"}
    )
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
class CommandOptions(ReportOptions):
    """The options of `pruncam compare` besides `Files` and `Settings`.

    `custom_cam` and `custom_score` name functions as "FILE.py:function".
    """

    custom_cam: tuple[str, ...] = option(
        (), metavar="FILE.py:function", help="custom CAM methods, in addition to --methods"
    )
    custom_score: tuple[str, ...] = option(
        (), metavar="FILE.py:function", help="custom scores, in addition to the built-in ones"
    )
    device: str = option("auto", help=f"one of {', '.join(DEVICES)}")
    shard: str | None = option(
        None,
        metavar="NUMBER/COUNT",
        help="measure only this part of the images, such as 3/16 for the third of sixteen, and "
        "write it to a folder in that of --out: `pruncam merge` makes the report of all",
    )
    cluster: str | None = option(
        None,
        metavar="ADDRESS",
        help="measure on the workers of this dask scheduler: tcp://host:port or tls://host:port",
    )

    def __post_init__(self) -> None:
        if self.cluster is not None:
            check_cluster(self.cluster)
        if self.cluster is not None and self.shard is not None:
            raise ValueError("--cluster measures all shards: leave out --shard")


@dataclass(frozen=True)
class Run:
    """The keywords that `compare` and `compare_shard` take from the options of the command."""

    custom_methods: dict[str, Callable[..., Any]]
    custom_scores: dict[str, Callable[..., Any]]
    machine: Machine


def run_of(options: CommandOptions) -> Run:
    """Return the functions of the user and the machine that the options name."""
    machine = Machine(options.device)
    custom_methods = _functions(options.custom_cam, "custom CAM")
    return Run(custom_methods, _functions(options.custom_score, "custom score"), machine)


def load_pair(
    files: Files,
    settings: Settings,
    options: CommandOptions,
    machine: Machine,
    progress: bool = True,
) -> Pair:
    """Return the pair of the files; its origin names the command."""
    pair = load(files, machine=machine, progress=progress)
    origin = {**(pair.origin or {}), "command": command_text(files, settings, options)}
    return replace(pair, origin=origin)


def _functions(specs: Sequence[str], kind: str) -> dict[str, Callable[..., Any]]:
    """Import functions, by the name after the colon."""
    functions = {spec.rpartition(":")[2]: load_function(spec, kind) for spec in specs}
    if len(functions) < len(specs):
        raise ValueError(f"each {kind} must have a different name, got {', '.join(specs)}")
    return functions
