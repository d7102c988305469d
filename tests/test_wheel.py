"""The wheel and the sdist, and the wheel in an environment that holds only what it declares.

Nothing is downloaded: the environment is empty but for links to the installed packages that the
wheel's own requirements lead to. Whatever pruncam needs beyond them cannot be imported there.
"""

import json
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterable, Mapping
from email.parser import Parser
from functools import cache
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

import pruncam
from pruncam import datasets, networks, pruning, scoring

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
NETWORK = "cifar-net-generated-10"
RATE = 0.8
IMAGES = 6


def run(
    command: Iterable[object], folder: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder; the checkout cannot be imported from there."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**environment, "PRUNCAM_CACHE": str(folder / "cache"), **variables},
    )


def build(source: Path, folder: Path, *options: str) -> None:
    """Build the package from a source folder by its own build backend."""
    command = [sys.executable, "-m", "hatchling", "build", *options, "-d", folder]
    process = subprocess.run(command, capture_output=True, text=True, cwd=source)
    assert process.returncode == 0, process.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the wheel and the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    build(ROOT, folder)
    return folder


def wheel_in(folder: Path) -> Path:
    (wheel,) = folder.glob("*.whl")
    return wheel


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


# ---------------------------------------------------------------- the environment


def requirements(wheel: Path) -> list[str]:
    """Return what the wheel declares, extras included."""
    (name,) = [name for name in contents(wheel) if name.endswith(".dist-info/METADATA")]
    return Parser().parsestr(contents(wheel)[name].decode()).get_all("Requires-Dist")


def closure(declared: Iterable[str], extra: str = "") -> dict[str, metadata.Distribution]:
    """Return the installed distributions that requirements lead to, by name."""
    reached: dict[str, metadata.Distribution] = {}
    pending = [(text, extra) for text in declared]
    visited = set()
    while pending:
        text, extra = pending.pop()
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        for further in ("", *requirement.extras):
            if (name, further) in visited:
                continue
            visited.add((name, further))
            reached[name] = metadata.distribution(name)
            pending += [(text, further) for text in reached[name].requires or ()]
    return reached


@cache
def module_owners() -> Mapping[str, list[str]]:
    """Return the installed distributions by the modules that they hold."""
    return metadata.packages_distributions()


def link(distributions: dict[str, metadata.Distribution], folder: Path) -> None:
    """Fill a folder with links to the modules of some distributions, and to no others."""
    folder.mkdir()
    owners = module_owners()
    for distribution in distributions.values():
        for file in distribution.files or ():
            top = file.parts[0]
            if top in ("..", "__pycache__") or top.endswith(".pth") or (folder / top).exists():
                continue
            others = {canonicalize_name(owner) for owner in owners.get(top, ())}
            assert others <= distributions.keys(), f"{top} would show {others} too"
            (folder / top).symlink_to(Path(str(distribution.locate_file(top))))


def make_environment(folder: Path, distributions: dict[str, metadata.Distribution]) -> Path:
    """Make an environment in which these distributions are visible; return its Python."""
    venv.create(folder / "venv", symlinks=True)
    link(distributions, folder / "visible")
    (site,) = (folder / "venv").glob("lib/*/site-packages")
    (site / "visible.pth").write_text(f"{folder / 'visible'}\n")
    return folder / "venv" / "bin" / "python"


@pytest.fixture(scope="module")
def light(built, tmp_path_factory) -> Path:
    """Python with the wheel and what it declares, without any extra."""
    folder = tmp_path_factory.mktemp("light")
    declared = [text for text in requirements(wheel_in(built)) if "extra ==" not in text]
    python = make_environment(folder, closure(declared))
    pip = [sys.executable, "-m", "pip", "--python", python]
    options = ["-q", "--no-index", "--no-deps", "--no-compile"]
    process = run([*pip, "install", *options, wheel_in(built)], folder)
    assert process.returncode == 0, process.stderr
    return python


# ---------------------------------------------------------------- what is built


def test_the_wheel_holds_the_files_of_the_package_and_no_others(built):
    names = {name for name in contents(wheel_in(built)) if not name.startswith("pruncam-")}
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "pruncam"]
    files = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    # Weights of unfinished trainings are for those who train on.
    shipped = {name for name in files.stdout.splitlines() if ".unfinished." not in name}
    assert names == shipped
    assert {"pruncam/py.typed", f"pruncam/weights/{NETWORK}.safetensors"} <= names


def test_a_wheel_from_the_sdist_is_the_same(built, tmp_path):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    assert {"README.md", "LICENSE", "CITATION.cff", "tests", "notebooks"} <= set(os.listdir(source))
    build(source, tmp_path, "-t", "wheel")
    assert contents(wheel_in(tmp_path)) == contents(wheel_in(built))


# ---------------------------------------------------------------- the library alone

LIBRARY = """
import contextlib, importlib, io, json, pkgutil, sys
import pandas as pd, torch
import pruncam
from pruncam import cams, cli, comparison, datasets, explorer, networks, pruning, scoring, training
from pruncam.report import committed, plots
from pruncam.studies.csg import embeddings

torch.set_num_threads(1)
compiled = ("_kernel", ".kernel", ".simd")
names = [module.name for module in pkgutil.walk_packages(pruncam.__path__, "pruncam.")]
for name in names:
    if not name.endswith((*compiled, "__main__")):
        importlib.import_module(name)

images = datasets.load("generated-10", "test", at_most=IMAGES)
model = networks.load(NETWORK)
pruned = pruncam.global_unstructured(model, RATE)
smaller = pruncam.remove_filters(model, 0.5, example_input=torch.zeros(1, 3, 32, 32))
options = {"methods": ["grad-cam++", "ablation-cam"], "progress": False}
rows, removed = (pruncam.score(model, other, images, **options) for other in (pruned, smaller))

def sentence(call):
    try:
        call()
    except Exception as error:
        return [type(error).__name__, str(error)]

small = networks.mnist_net()
recipe = training.Recipe(((1, 0.1),), 2), training.Inputs(mean=0.5, std=0.25)
grey, labels = torch.zeros(2, 1, 28, 28, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64)
calls = {
    "engine": lambda: pruncam.heatmaps(
        model, torch.rand(1, 3, 32, 32), method="grad-cam", engine="grad-cam"
    ),
    "t-SNE": lambda: embeddings.plane(torch.rand(4, 3), 0),
    "digits": lambda: datasets.load("digits", "test"),
    "compiled": lambda: training.fit(small, grey, labels, *recipe, seed=0, engine="fused"),
    "figure": lambda: plots.show(None),
    "controls": lambda: explorer.widgets.Controls(explorer.Explorer({})),
    "results": lambda: committed.best("csg")[1]["claims"],
}

def command(*words):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = cli.main(words)
        except SystemExit as stop:
            status = stop.code
    return [status, out.getvalue(), err.getvalue()]

files = ["--baseline", "a.pt", "--pruned", "b.pt", "--data", "images"]
bounds = ["--mean", "0.5", "--std", "0.25", "--seeds", "1", "--layers", "0", "--out", "report"]
commands = {
    "compare": [*"compare --methods grad-cam --model pruncam:mnist_net".split(), *files, *bounds],
    "timm": [*"compare --model timm:resnet18 --out timm".split(), *files],
    "doctor": ["doctor"],
    "weights": ["weights", "cifar-net-digits"],
    "reproduce": ["reproduce"],
    "notebooks": ["notebooks"],
    "expected": ["expected"],
}
print(json.dumps({
    "place": pruncam.__file__,
    "modules": names,
    "sp2ps": [rows["sp2ps"].tolist(), removed["sp2ps"].tolist()],
    "sentences": {name: sentence(call) for name, call in calls.items()},
    "commands": {name: command(*words) for name, words in commands.items()},
}))
"""


@pytest.fixture(scope="module")
def alone(light, tmp_path_factory) -> dict:
    """What the library does without the extras, in the folder of a user."""
    folder = tmp_path_factory.mktemp("user")
    network = networks.mnist_net()
    torch.save(network.state_dict(), folder / "a.pt")
    torch.save(pruning.global_unstructured(network, RATE).state_dict(), folder / "b.pt")
    for label in range(10):
        random = torch.Generator().manual_seed(label)
        pixels = torch.randint(0, 256, (28, 28), dtype=torch.uint8, generator=random)
        (folder / "images" / str(label)).mkdir(parents=True)
        Image.fromarray(pixels.numpy()).save(folder / "images" / str(label) / "image.png")
    (folder / "notebooks").symlink_to(NOTEBOOKS)
    code = LIBRARY.replace("IMAGES", str(IMAGES)).replace("NETWORK", repr(NETWORK))
    process = run([light, "-c", code.replace("RATE", str(RATE))], folder)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout) | {"folder": folder}


def test_every_module_can_be_imported_without_the_extras(alone):
    assert "site-packages" in alone["place"] and str(ROOT) not in alone["place"]
    assert len(alone["modules"]) > 250 and "pruncam.reproduce.runner" in alone["modules"]


def test_scores_are_those_of_the_whole_installation(alone):
    images = datasets.load("generated-10", "test", at_most=IMAGES)
    model = networks.load(NETWORK)
    example = torch.zeros(1, 3, 32, 32)
    pruned = pruning.global_unstructured(model, RATE)
    smaller = pruning.remove_filters(model, 0.5, example_input=example)
    for other, values in zip((pruned, smaller), alone["sp2ps"], strict=True):
        methods = ["grad-cam++", "ablation-cam"]
        rows = scoring.score(model, other, images, methods=methods, progress=False)
        expected = rows["sp2ps"].tolist()
        assert values == pytest.approx(expected, abs=1e-6)
        assert len(set(values)) > IMAGES / 2, "the same score everywhere would tell nothing"


def test_two_checkpoints_are_compared(alone):
    status, printed, _ = alone["commands"]["compare"]
    page = alone["folder"] / "report" / "report.html"
    assert (status, printed) == (0, f"the report is {page}\n") and page.stat().st_size > 50_000


@pytest.mark.parametrize(
    ("call", "extra", "package"),
    [
        ("engine", "notebooks", "pytorch_grad_cam"),
        ("t-SNE", "studies", "sklearn"),
        ("digits", "studies", "scikit-learn"),
        ("compiled", "studies", "numba"),
        ("figure", "notebooks", "IPython"),
        ("controls", "notebooks", "ipywidgets"),
    ],
)
def test_a_call_that_needs_an_extra_names_it(alone, call, extra, package):
    kind, text = alone["sentences"][call]
    assert kind == "MissingExtra"
    end = f" needs the package {package}, which is not installed: "
    assert text.endswith(f'{end}run `pip install "pruncam[{extra}]"`')


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("timm", "timm"),
        ("weights", "studies"),
        ("reproduce", "notebooks"),
        ("notebooks", "notebooks"),
        ("expected", "notebooks"),
    ],
)
def test_a_command_that_needs_an_extra_names_it(alone, command, extra):
    status, printed, complaint = alone["commands"][command]
    assert (status, printed) == (2, "")
    assert complaint.count("\n") == 1 and complaint.startswith("pruncam: ")
    assert complaint.endswith(f'which is not installed: run `pip install "pruncam[{extra}]"`\n')


def test_committed_results_need_a_checkout(alone):
    kind, text = alone["sentences"]["results"]
    assert kind == "NeedsCheckout" and "open this notebook in a checkout" in text


def test_doctor_knows_that_there_is_no_checkout(alone):
    status, printed, _ = alone["commands"]["doctor"]
    lines = printed.splitlines()
    assert (status, lines[-1]) == (0, "`pruncam compare` can run here")
    extras = {line.split()[2]: line for line in lines if line.split()[1] == "extra"}
    assert set(extras) == {"studies", "notebooks", "timm", "cluster"}
    for extra, line in extras.items():
        assert line.startswith("ok ") and f'not installed: `pip install "pruncam[{extra}]"' in line
    assert not [line for line in lines if "make " in line or "figures" in line or "mnist" in line]


def test_help_lists_the_commands(light, tmp_path):
    process = run([light.with_name("pruncam"), "--help"], tmp_path)
    assert process.returncode == 0 and process.stdout.startswith("usage: pruncam")
    assert "compare two checkpoints" in process.stdout and process.stderr == ""


# ---------------------------------------------------------------- the first cell of the notebooks


def code_cells(stem: str) -> list[str]:
    (path,) = NOTEBOOKS.glob(f"{stem}_*.ipynb")
    cells = nbformat.read(path, 4).cells
    return [cell.source for cell in cells if cell.cell_type == "code"]


def test_all_notebooks_have_the_same_first_cell():
    first = {path.stem: code_cells(path.stem[:2])[0] for path in NOTEBOOKS.glob("*.ipynb")}
    assert len(first) == 8 and set(first.values()) == {first["00_start_here"]}


@pytest.mark.parametrize("wheels", [(), ("0.1.0",), ("0.1.0", "0.2.0")])
def test_the_first_cell_installs_the_newest_wheel_beside_it(wheels, tmp_path, monkeypatch):
    for version in wheels:
        (tmp_path / f"pruncam-{version}-py3-none-any.whl").touch()
    monkeypatch.chdir(tmp_path)
    lines = []

    class Shell:
        def run_line_magic(self, name, line):
            lines.append((name, line))
            sys.modules["pruncam"] = pruncam

    monkeypatch.setitem(sys.modules, "pruncam", None)  # its import fails
    if not wheels:
        with pytest.raises(AssertionError, match="pruncam is missing: upload its wheel"):
            exec(code_cells("00")[0], {"get_ipython": Shell})
        assert lines == []
        return
    exec(code_cells("00")[0], {"get_ipython": Shell})
    assert lines == [("pip", f'install -q "pruncam-{wheels[-1]}-py3-none-any.whl[studies]"')]


# Runs cells as a kernel does, which shows the error of one and goes on with the next.
CELLS = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for source in json.loads(sys.argv[1]):
    print("cell:", "ran" if shell.run_cell(source).success else "failed")
print(sys.modules["pruncam"].__file__)
"""


def test_the_first_cell_makes_a_notebook_server_fit(built, tmp_path):
    """The server has IPython, pip and what the extra `studies` leads to, as Colab, no pruncam.

    pip itself checks that every requirement is there.
    """
    visible = closure([*requirements(wheel_in(built)), "ipython", "pip"], "studies")
    assert {"torch", "scikit-learn", "ipython"} <= visible.keys()
    assert not {"pruncam", "jupyterlab", "papermill"} & visible.keys()
    python = make_environment(tmp_path, visible)
    (tmp_path / wheel_in(built).name).symlink_to(wheel_in(built))
    cells = [code_cells("00")[0], code_cells("05")[0], "print('a' + 1)"]
    command = [python, "-c", CELLS, json.dumps(cells)]
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_COMPILE": "1", "IPYTHONDIR": str(tmp_path)}
    process = run(command, tmp_path, **offline)
    lines = process.stdout.splitlines()
    states = [line for line in lines if line.startswith("cell:")]
    assert states == ["cell: ran", "cell: ran", "cell: failed"], process.stdout + process.stderr
    assert lines.count(f"pruncam {pruncam.__version__}") == 2
    assert Path(lines[-1]).is_relative_to(python.parents[1])
