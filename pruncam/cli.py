"""The command line of pruncam: `pruncam COMMAND`, or `python -m pruncam COMMAND`."""

import argparse
import dataclasses
import json
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from pruncam import __version__
from pruncam.reproduce.options import RunOptions

if TYPE_CHECKING:
    from pruncam.comparison import Outcome, ReportOptions

_DESCRIPTION = "Compare the heatmaps of pruned networks, and reproduce four papers on the subject."
Record = TypeVar("Record")
OptionGroup = argparse.ArgumentParser | argparse._ArgumentGroup


class Parser(argparse.ArgumentParser):
    """An argument parser that reports an error in one line."""

    def error(self, message: str) -> NoReturn:
        """Print the error and exit with status 2."""
        self.exit(2, f"pruncam: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    0: success; 1: a notebook, a check or a gate failed; 2: wrong usage or unsuitable input;
    130: interrupted. `arguments` are those after the program's name, by default those of the
    process.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = vars(_parser(arguments).parse_args(arguments))
    run = options.pop("run")
    try:
        return run(options)
    except KeyboardInterrupt:
        message = "interrupted; run the same command again to continue from the stored steps"
        print(f"pruncam: {message}", file=sys.stderr)
        return 130
    except Exception as error:
        if not _is_user_error(error):
            raise
        print(f"pruncam: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def _is_user_error(error: Exception) -> bool:
    """Return whether the message says what to do, so that a traceback would only hide it."""
    if isinstance(error, ValueError | OSError):
        return True
    from pruncam.datasets import DataError  # imports torch, which most commands do not need

    return isinstance(error, DataError)


# ---------------------------------------------------------------- commands


def _parser(arguments: Sequence[str]) -> Parser:
    parser = Parser(prog="pruncam", description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"pruncam {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, run: Callable[[dict[str, Any]], int], summary: str) -> Parser:
        command = commands.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
        )
        command.set_defaults(run=run)
        return command

    summary = "run the notebooks: every table, figure and claim"
    reproduce = add("reproduce", _reproduce, summary)
    add_dataclass_options(reproduce, RunOptions)
    plan_help = "only print what would be run, what the cache holds, and how long the rest takes"
    reproduce.add_argument("--plan", action="store_true", help=plan_help)

    summary = "run committed studies anew and hold every table against the committed one"
    verify = add("verify", _verify, summary)
    if arguments[:1] == ["verify"]:  # its options import torch
        _add_verify_options(verify)

    summary = "compare two checkpoints on a folder of images: tables, figures and one page"
    compare = add("compare", _compare, summary)
    if arguments[:1] == ["compare"]:  # its options import torch
        _add_compare_options(compare)

    summary = "merge the shards of `compare --shard` into the report of all images"
    merge = add("merge", _merge, summary)
    merge.add_argument("shards", metavar="SHARD", nargs="+", help="folders of shards, or of all")
    if arguments[:1] == ["merge"]:
        _add_merge_options(merge)

    add("notebooks", _notebooks, "re-run the committed notebooks and solutions and save them")
    add("expected", _expected, "write the tables of the quick profile that the tests expect")
    add("doctor", _doctor, "check this machine: what is missing, and how to fix it")

    weights = add("weights", _weights, "train the reference networks again, from their cards")
    weights.add_argument("names", metavar="NAME", nargs="*", help="a network (default: all)")
    weights.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    weights.add_argument("--data", metavar="DIR", help="folder searched first for data sets")

    download = add("download", _download, "download a data set")
    download.add_argument("name", metavar="NAME", help="the data set, such as mnist")
    data_help = "folder to put it in (default: PRUNCAM_DATA, else data/)"
    download.add_argument("--data", metavar="DIR", help=data_help)
    return parser


def _reproduce(options: dict[str, Any]) -> int:
    run_options = make_record(RunOptions, options)
    if options["plan"]:
        from pruncam.reproduce import plan

        plan.print_plan(run_options)
        return 0
    from pruncam.reproduce import runner

    return runner.reproduce(run_options)


def _add_verify_options(parser: Parser) -> None:
    from pruncam.reproduce.verify import VerifyOptions

    add_dataclass_options(parser, VerifyOptions)


def _verify(options: dict[str, Any]) -> int:
    from pruncam.reproduce import verify

    verify_options = make_record(verify.VerifyOptions, options)
    try:
        return verify.verify(verify_options)
    except KeyboardInterrupt:
        if verify_options.keep:
            raise
        message = "interrupted, nothing is kept: --keep names a folder to continue from"
        print(f"pruncam: {message}", file=sys.stderr)
        return 130


def _add_compare_options(parser: Parser) -> None:
    from pruncam import comparison

    add_dataclass_options(parser.add_argument_group("files"), comparison.Files)
    add_dataclass_options(parser.add_argument_group("comparison"), comparison.Settings)
    add_dataclass_options(parser.add_argument_group("run"), comparison.CommandOptions)


def _compare(options: dict[str, Any]) -> int:
    from pruncam import comparison

    command_options = make_record(comparison.CommandOptions, options)
    files, settings = (
        make_record(comparison.Files, options),
        make_record(comparison.Settings, options),
    )
    if command_options.shard is not None:
        print(f"the shard is {comparison.shard_command(files, settings, command_options)}")
        return 0
    return _print_outcome(comparison.command(files, settings, command_options), command_options)


def _add_merge_options(parser: Parser) -> None:
    from pruncam import comparison

    add_dataclass_options(parser, comparison.ReportOptions)


def _merge(options: dict[str, Any]) -> int:
    from pruncam import comparison

    report_options = make_record(comparison.ReportOptions, options)
    outcome = comparison.merge_command(options["shards"], report_options)
    return _print_outcome(outcome, report_options)


def _print_outcome(outcome: "Outcome", options: "ReportOptions") -> int:
    if options.json:
        print(json.dumps(outcome.as_json(), indent=2, allow_nan=False))
    else:
        print(f"the report is {outcome.page}")
    for failure in outcome.failures or ():
        print(f"pruncam: failed: {failure}", file=sys.stderr)
    return outcome.exit_status


def _notebooks(_: dict[str, Any]) -> int:
    from pruncam.reproduce import runner

    return runner.refresh_notebooks()


def _expected(_: dict[str, Any]) -> int:
    from pruncam.reproduce import runner

    return runner.refresh_expected()


def _doctor(_: dict[str, Any]) -> int:
    from pruncam.reproduce import doctor

    return doctor.main()


def _weights(options: dict[str, Any]) -> int:
    from pruncam._core.machine import Machine
    from pruncam.reproduce.reference_networks import train_reference_networks

    machine = Machine(device=options["device"], data_dir=options["data"])
    return train_reference_networks(options["names"], machine)


def _download(options: dict[str, Any]) -> int:
    from pruncam._core import paths
    from pruncam.datasets import catalog

    folder = paths.data_folders(options["data"])[0]
    print(f"{options['name']} is in {catalog.download(options['name'], folder)}")
    return 0


# ---------------------------------------------------------------- options from dataclasses


def add_dataclass_options(parser: OptionGroup, record_class: type) -> None:
    """Add an option for each field of a dataclass that has a help text.

    The type, the default and whether the option is required come from the field. Its metadata hold
    "help" and, optionally, "metavar" and "option": the option's name, if it is not the field's.
    A field that holds a sequence takes several values, and its option may be repeated; one that
    holds a bool, False by default, takes none. An option that is not given is absent from the
    parsed arguments, so that the dataclass's default applies.
    """
    hints = typing.get_type_hints(record_class)
    for field in dataclasses.fields(record_class):
        if "help" not in field.metadata:
            continue
        value_type, is_sequence = _value_type(hints[field.name])
        name = field.metadata.get("option", f"--{field.name.replace('_', '-')}")
        if value_type is bool:
            parser.add_argument(
                name,
                action="store_true",
                dest=field.name,
                default=argparse.SUPPRESS,
                help=_help_text(field),
            )
            continue
        parser.add_argument(
            name,
            action="extend" if is_sequence else "store",
            dest=field.name,
            type=value_type,
            nargs="+" if is_sequence else None,
            required=_is_required(field),
            default=argparse.SUPPRESS,
            metavar=field.metadata.get("metavar"),
            help=_help_text(field),
        )


def make_record(record_class: type[Record], options: Mapping[str, Any]) -> Record:
    """Return an instance of a dataclass with those options that are its fields; lists as tuples."""
    names = {field.name for field in dataclasses.fields(record_class)}
    values = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in options.items()
        if name in names
    }
    return record_class(**values)


def _value_type(hint: Any) -> tuple[type, bool]:
    """Return the type of an option's value, and whether the option takes several."""
    is_union = typing.get_origin(hint) in (types.UnionType, typing.Union)
    first = typing.get_args(hint)[0] if is_union else hint
    if typing.get_origin(first) in (tuple, Sequence):
        return typing.get_args(first)[0], True
    return first, False


def _is_required(field: dataclasses.Field) -> bool:
    no_default = field.default is dataclasses.MISSING
    return no_default and field.default_factory is dataclasses.MISSING


def _help_text(field: dataclasses.Field) -> str:
    text = field.metadata["help"]
    if not _is_required(field) and field.default not in (None, (), False):
        value = field.default
        default = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        text = f"{text} (default: {default})"
    return text.replace("%", "%%")
