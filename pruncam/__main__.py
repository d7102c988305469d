"""The command line: `python -m pruncam reproduce`, `score`, `notebooks`, `expected`, `doctor`, `download`."""

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
        ("notebooks", _notebooks, "execute the committed notebooks and solutions anew and write them back"),
        ("expected", _expected, "write the tables that the tests expect of the quick profile"),
        ("doctor", _doctor, "what is here, what is missing, how to cure it"),
    ):
        commands.add_parser(name, help=text).set_defaults(run=run)
    _add_score(commands)
    download = commands.add_parser("download", help="fetch a data set")
    download.add_argument("name", metavar="NAME", help="the data set, such as mnist")
    download.add_argument("--data", metavar="DIR", help="where to put it (default: PRUNCAM_DATA, else data/)")
    download.set_defaults(run=_download)
    return parser


def _add_score(commands: argparse._SubParsersAction) -> None:
    """The options of `score`; those that are not given are left to `own.Settings`."""
    about = "compare two checkpoints of your own on a folder of pictures: tables, figures, one page"
    score = commands.add_parser("score", help=about, description=about, argument_default=argparse.SUPPRESS)
    score.set_defaults(run=_score)
    files = score.add_argument_group("what is compared")
    for name, metavar, text in (
        ("baseline", "A.pt", "the unpruned network's weights, loaded weights-only"),
        ("pruned", "B.pt", "the pruned network's: with zeros, with masks or with fewer filters"),
        ("model", "MODEL", "torchvision:NAME, pruncam:NAME, module:function or FILE.py:function (its code is run)"),
        ("data", "FOLDER", "pictures as <class>/*, in a folder, zip or tar; classes in the order of their names"),
        ("out", "REPORT", "the folder to write; report.html in it has everything"),
    ):
        files.add_argument(f"--{name}", metavar=metavar, help=text, required=True)
    files.add_argument("--train", metavar="FOLDER", help="training pictures of the same classes, for the noise floor")
    files.add_argument("--images", type=int, metavar="N", help="take at most N pictures, from every class in turn")
    inputs = score.add_argument_group("what the networks see")
    inputs.add_argument("--size", type=int, metavar="PIXELS", help="resize to, cut square (default: as they are)")
    inputs.add_argument("--mean", type=float, nargs="+", metavar="X", help="to normalise pixels in [0, 1] (ImageNet's)")
    inputs.add_argument("--std", type=float, nargs="+", metavar="X", help="likewise")
    how = score.add_argument_group("how they are compared")
    how.add_argument("--methods", nargs="+", metavar="CAM", help="CAMs (grad-cam grad-cam++ ablation-cam)")
    how.add_argument("--target-layer", metavar="NAME", help="dotted name of the layer (default: the last convolution)")
    how.add_argument("--own-cam", action="append", metavar="FILE.py:f", help="a CAM of yours; may be repeated")
    how.add_argument("--own-score", action="append", metavar="FILE.py:f", help="a score of yours; may be repeated")
    how.add_argument("--seeds", type=int, nargs="+", metavar="S", help="of fine-tuned and random networks (1 2)")
    floor = score.add_argument_group("how the pruned network was fine-tuned (SGD, momentum 0.9), with --train")
    floor.add_argument("--epochs", type=int, metavar="N", help="1 by default")
    floor.add_argument("--lr", type=float, dest="learning_rate", metavar="X", help="0.001 by default")
    floor.add_argument("--batch-size", type=int, metavar="N", help="32 by default")
    score.add_argument("--device", help="auto (default), cpu, cuda or mps")


def _reproduce(chosen: argparse.Namespace) -> int:
    from pruncam import runner

    return runner.reproduce(chosen.profile, chosen.study, chosen.device, chosen.data)


def _score(chosen: argparse.Namespace) -> int:
    from pruncam import own

    given = {name: tuple(value) if isinstance(value, list) else value for name, value in vars(chosen).items()}
    del given["run"]
    print(f"the report is {own.command(**given)}")
    return 0


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
