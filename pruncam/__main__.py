"""The command line: `python -m pruncam reproduce`, `notebooks`, `expected`, `doctor`, `download`."""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"pruncam: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0: done, 1: a notebook or a check failed, 2: asked for what cannot be, 130: interrupted."""
    chosen = _parser().parse_args(arguments)
    try:
        return chosen.run(chosen)
    except KeyboardInterrupt:
        print("pruncam: interrupted; the same command goes on from what is stored", file=sys.stderr)
        return 130
    except Exception as error:
        if not _for_people(error):
            raise
        print(f"pruncam: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def _parser() -> Parser:
    """The commands and their options."""
    parser = Parser(prog="python -m pruncam", description=__doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    reproduce = commands.add_parser("reproduce", help="run the notebooks: every table, figure and claim")
    reproduce.add_argument("--profile", default="quick", help="quick (default), laptop or paper")
    reproduce.add_argument("--study", help="one study only, such as mnist_iou")
    reproduce.add_argument("--device", default="auto", help="auto (default), cpu, cuda or mps")
    reproduce.add_argument("--data", metavar="DIR", help="where the data sets lie, before PRUNCAM_DATA and data/")
    reproduce.set_defaults(run=_reproduce)
    for name, run, text in (
        ("notebooks", _notebooks, "execute the committed notebooks anew and write them back"),
        ("expected", _expected, "write the tables that the tests expect of the quick profile"),
        ("doctor", _doctor, "what is here, what is missing, how to cure it"),
    ):
        commands.add_parser(name, help=text).set_defaults(run=run)
    download = commands.add_parser("download", help="fetch a data set")
    download.add_argument("name", metavar="NAME", help="the data set, such as mnist")
    download.add_argument("--data", metavar="DIR", help="where to put it (default: PRUNCAM_DATA, else data/)")
    download.set_defaults(run=_download)
    return parser


def _reproduce(chosen: argparse.Namespace) -> int:
    from pruncam import runner

    return runner.reproduce(chosen.profile, chosen.study, chosen.device, chosen.data)


def _notebooks(_: argparse.Namespace) -> int:
    from pruncam import runner

    return runner.refresh_notebooks()


def _expected(_: argparse.Namespace) -> int:
    from pruncam import runner

    return runner.refresh_expected()


def _doctor(_: argparse.Namespace) -> int:
    from pruncam import doctor

    return doctor.main() or 0


def _download(chosen: argparse.Namespace) -> int:
    from pruncam import places
    from pruncam.datasets import catalog

    place = catalog.download(chosen.name, places.data_folders(chosen.data)[0])
    print(f"{chosen.name} is in {place}")
    return 0


def _for_people(error: Exception) -> bool:
    """Whether an error says in its own words what to do, so that a traceback would only hide it."""
    if isinstance(error, ValueError | OSError):
        return True
    from pruncam.datasets import DataError  # late: most commands never load a data set

    return isinstance(error, DataError)


if __name__ == "__main__":
    sys.exit(main())
