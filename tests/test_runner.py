"""Runs of all notebooks: refusals, files, the table at the end. The notebooks here are tiny."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import nbformat
import pytest

from pruncam import cli
from pruncam._core import paths
from pruncam.datasets import catalog
from pruncam.report import manifest
from pruncam.report.claims import VERDICTS
from pruncam.reproduce import execution, notebook_list, runner
from pruncam.reproduce.execution import NotebookFailed, run_notebook
from pruncam.reproduce.kernels import Kernel, first_imports
from pruncam.reproduce.options import RunOptions
from pruncam.reproduce.outcomes import HEADINGS, Outcome, summary_table
from pruncam.reproduce.parameters import declared_parameters
from pruncam.reproduce.status_line import StatusLine

PARAMETERS = """profile: str = "quick"  # the profile
device: str = "auto"  # the device
data_dir: str | None = None  # a=b"""
CLAIMS = """
import csv, os, pathlib
folder = pathlib.Path(os.environ["PRUNCAM_FIGURES"]) / profile / "mnist_iou"
folder.mkdir(parents=True, exist_ok=True)
with open(folder / "claims.csv", "w", newline="") as file:
    rows = csv.writer(file)
    rows.writerow(["claim", "sentence", "source", "verdict", "evidence"])
    rows.writerow(["I1", "It drifts, \\n they say", "thesis", "holds on stand-in", "0.9 > 0.5"])
    rows.writerow(["I2", "It does not", "thesis", "undecided", "0.5"])
"""
CHECKOUT = Path(runner.__file__).parents[2]
# The package is the one under test, the project another folder, as in the process of the tests.
PROGRAM = """
import signal, sys
from pathlib import Path
from pruncam import cli
from pruncam._core import paths
# The background jobs of a shell are started so that they ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
root = Path(sys.argv[1])
paths.project_root = lambda: root
sys.exit(cli.main(sys.argv[2:]))
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project in place of the checkout."""
    for name in ("PRUNCAM_CACHE", "PRUNCAM_FIGURES", "PRUNCAM_DATA"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(project: Path, name: str, *sources: str, parameters: str = PARAMETERS) -> Path:
    """Write a notebook of code cells, the first of them tagged `parameters`."""
    cells = [nbformat.v4.new_code_cell(source) for source in (parameters, *sources)]
    cells[0].metadata["tags"] = ["parameters"]
    metadata = {"kernelspec": {"name": "python3", "display_name": "any", "language": "python"}}
    path = project / "notebooks" / f"{name}.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), path)
    return path


def texts(path: Path) -> list[str]:
    """Return what the cells of an executed notebook printed."""
    cells = nbformat.read(path, 4).cells
    return [
        output.text
        for cell in cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream"
    ]


def start_process(project: Path, *arguments: str, **options) -> subprocess.Popen:
    """Start the command line in a new process, for a project in another folder."""
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-c", PROGRAM, str(project), *arguments]
    return subprocess.Popen(
        command,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


# ---------------------------------------------------------------- refusals


def test_an_unknown_parameter_is_refused_with_the_known_ones(project):
    path = write(project, "05_mnist_iou")
    with pytest.raises(
        ValueError, match="no parameter 'profil': known parameters are profile, device, data_dir"
    ):
        run_notebook(path, {"profil": "quick"}, project / "runs")
    assert not (project / "runs").exists()


@pytest.mark.parametrize(
    "name, value, accepted",
    [
        ("seeds", "[1]", False),
        ("seeds", [1, 2], True),
        ("seeds", (1, 2), False),  # papermill would pass it on as a string
        ("rate", 1, True),
        ("rate", True, False),
        ("rate", "1e-3", False),  # YAML reads 1e-3 as text
        ("epochs", 3.0, False),
        ("data_dir", None, True),
        ("data_dir", 3, False),
        ("data_dir", Path("data"), False),
        ("untyped", "anything", True),
        ("verbose", 1, False),
    ],
)
def test_a_parameter_of_another_type_is_refused(
    project,
    monkeypatch,
    name,
    value,
    accepted,
):
    def started(*_):
        raise NotebookFailed("started", project, project)

    monkeypatch.setattr(execution, "_execute", started)
    declared = [
        "seeds = [0]",
        "rate: float = 0.1",
        "epochs: int = 3",
        "data_dir: str | None = None",
        "untyped = None",
        "verbose=False",
    ]
    path = write(project, "01_any", parameters="\n".join(declared))
    error = NotebookFailed if accepted else ValueError
    message = "started" if accepted else f"parameter '{name}' must be"
    with pytest.raises(error, match=message):
        run_notebook(path, {name: value}, project / "runs")


def test_parameters_are_read_that_papermill_overlooks(project):
    notebook = nbformat.read(write(project, "01_any"), 4)
    assert declared_parameters(notebook) == {
        "profile": {"str"},
        "device": {"str"},
        "data_dir": {"str", "None"},
    }


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"study": "mnist"}, "unknown study 'mnist': choose one of mnist_iou"),
        ({"study": "csg"}, "study 'csg' has no notebook: choose one of mnist_iou"),
        ({"profile": "fast"}, "unknown profile 'fast': choose one of quick, overnight, paper"),
        ({"device": "gpu"}, "unknown device 'gpu': choose one of auto, cpu, cuda, mps"),
        ({"data": "nowhere"}, "the data folder nowhere does not exist"),
    ],
)
def test_an_unsuitable_option_is_refused_with_the_alternatives(project, arguments, message):
    write(project, "05_mnist_iou")
    with pytest.raises((ValueError, OSError)) as caught:
        runner.reproduce(RunOptions(**arguments))
    assert str(caught.value) == message


def test_a_project_without_notebooks_is_refused(project):
    with pytest.raises(ValueError, match="no notebook named"):
        runner.reproduce()


def test_a_file_that_is_not_a_notebook_is_named(project):
    (project / "notebooks" / "01_broken.ipynb").write_text('{"cells": [')
    with pytest.raises(ValueError, match="01_broken.ipynb is not a notebook"):
        runner.reproduce()


@pytest.mark.parametrize(
    ("present", "downloaded"),
    [
        (["tiny-imagenet-10", "tiny-imagenet-100"], []),
        (["tiny-imagenet-10"], ["cifar100"]),  # tiny-imagenet-100 cannot be downloaded
        (["stl10", "cifar100"], []),
    ],
)
def test_a_data_set_is_not_downloaded_if_its_stand_in_is_there(monkeypatch, present, downloaded):
    ensured = []
    monkeypatch.setattr(catalog, "find", lambda name, _: name in present)
    monkeypatch.setattr(catalog, "ensure", lambda name, _: ensured.append(name))
    notebook_list.ensure_data([Path("01_csg_complexity.ipynb")], "paper", None)
    assert ensured == ["mnist", "covid19", "fashion-mnist", "cifar10", *downloaded]


# ---------------------------------------------------------------- the command line


@pytest.mark.parametrize(
    "arguments",
    [
        ["reproduce", "--profile", "fast"],
        ["reproduce", "--gpu"],
        ["reprodce"],
        [],
        ["download", "mnits"],
    ],
)
def test_an_error_on_the_command_line_is_one_line_and_status_2(project, capsys, arguments):
    try:
        status = cli.main(arguments)
    except SystemExit as stop:
        status = stop.code
    out, err = capsys.readouterr()
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("pruncam: ")


def test_a_bug_keeps_its_traceback(project, monkeypatch):
    monkeypatch.setattr(runner, "refresh_notebooks", lambda: {}["missing"])
    with pytest.raises(KeyError):
        cli.main(["notebooks"])


def test_an_empty_study_or_folder_counts_as_not_given(project, monkeypatch):
    write(project, "05_mnist_iou")
    runs = []

    def run_notebook(path, parameters, *_, **__):
        runs.append((path.stem, parameters))

    monkeypatch.setattr(runner, "run_notebook", run_notebook)
    assert cli.main(["reproduce", "--study", "", "--data", ""]) == 0
    assert runs == [("05_mnist_iou", {"profile": "quick", "device": "auto"})]


def test_the_data_folder_reaches_the_notebook_as_an_absolute_path(project, monkeypatch):
    write(project, "05_mnist_iou")
    (project / "sets").mkdir()
    folders = []

    def run_notebook(_, parameters, *__, **___):
        folders.append(parameters["data_dir"])

    monkeypatch.setattr(runner, "run_notebook", run_notebook)
    runner.reproduce(RunOptions(data="sets"))
    assert folders == [str(project / "sets")]


@pytest.mark.parametrize("place", ["runs", "figures"])
def test_a_folder_that_cannot_be_written_is_noticed_before_the_notebooks_run(
    project, monkeypatch, place
):
    write(project, "05_mnist_iou")
    (project / place).write_text("a file in the place of a folder")
    monkeypatch.setattr(runner, "run_notebook", None)
    with pytest.raises(OSError, match=f"^no .* can be written to {project / place}/quick .*: "):
        runner.reproduce(RunOptions())


# ---------------------------------------------------------------- whole runs


def test_one_failing_notebook_is_kept_and_does_not_stop_the_others(project, capsys):
    write(project, "05_mnist_iou", CLAIMS)
    write(project, "10_last", "import os; print(os.getcwd())", parameters="# none")
    write(
        project,
        "2_bad",
        "print('before')",
        "raise RuntimeError('no such luck')",
        "print('after')",
    )
    runs = project / "runs" / "quick"
    runs.mkdir(parents=True)
    for stale in ("2_bad.ipynb", "2_bad.html", "05_mnist_iou.failed.ipynb", "05_mnist_iou.log"):
        (runs / stale).write_text("stale")

    assert cli.main(["reproduce"]) == 1

    out, err = capsys.readouterr()
    assert sorted(p.name for p in runs.iterdir()) == [
        *(
            "05_mnist_iou.html",
            "05_mnist_iou.ipynb",
            "10_last.html",
            "10_last.ipynb",
            "2_bad.failed.ipynb",
            "2_bad.log",
        )
    ]
    assert texts(runs / "2_bad.failed.ipynb") == ["before\n"]
    assert "RuntimeError: no such luck" in (runs / "2_bad.log").read_text()
    assert "RuntimeError: no such luck" in err and "\x1b" not in err
    assert texts(runs / "10_last.ipynb") == [f"{project / 'notebooks'}\n"]
    assert [line.split()[0] for line in err.splitlines() if line.endswith("started")] == [
        "[1/3]",
        "[2/3]",
        "[3/3]",
    ]
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line.strip()}
    assert rows["2_bad"][3] == "FAILED"
    assert rows["05_mnist_iou"][-6:] == ["0", "0", "1", "0", "1", "0"]
    assert rows["10_last"][-6:] == ["-"] * 6
    assert rows["results"][1] == "figures/quick"
    assert (project / "figures" / "README.md").is_file()
    assert_free_of_noise(runs / "05_mnist_iou.ipynb")


def assert_free_of_noise(path: Path) -> None:
    """Check that there are no times, paths or patch version: two runs give the same file."""
    notebook = nbformat.read(path, 4)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert (
        notebook.metadata.kernelspec.name == "python3"
        and "version" not in notebook.metadata.language_info
    )
    assert all(
        set(cell.metadata) <= {"tags"} and cell.metadata.get("tags", True)
        for cell in notebook.cells
    )
    assert path.read_text().endswith("}\n")


def test_claims_of_an_earlier_run_are_not_counted(project):
    figures = project / "figures" / "quick"
    (figures / "mnist_iou").mkdir(parents=True)
    claims = figures / "mnist_iou" / "claims.csv"
    claims.write_text("claim,verdict\nI1,reproduced\n")
    assert runner._run_one("05_mnist_iou", lambda: None, figures).verdicts == Counter()
    outcome = runner._run_one(
        "05_mnist_iou", lambda: claims.write_text(claims.read_text()), figures
    )
    assert outcome.verdicts == {"reproduced": 1}


def test_the_table_counts_every_verdict_under_its_heading():
    verdicts = Counter(dict(zip(VERDICTS, range(1, 7), strict=True)))
    verdicts["maybe"] = 1
    outcome = Outcome(
        "05_mnist_iou",
        "mnist_iou",
        3723.4,
        None,
        verdicts,
    )
    table = summary_table([outcome]).splitlines()
    assert tuple(HEADINGS) == VERDICTS
    assert table[0].split("  ")[-1].strip() == "fails*"
    assert table[2].split() == ["05_mnist_iou", "mnist_iou", "1:02:03", *"123456"]
    assert table[-1] == "not counted: the unknown verdict 'maybe'"


def test_another_kernel_of_the_same_name_is_not_used(project, monkeypatch):
    stray = project / "stray" / "kernels" / "python3"
    stray.mkdir(parents=True)
    (stray / "kernel.json").write_text(
        json.dumps({"argv": ["false"], "display_name": "x", "language": "python"})
    )
    monkeypatch.setenv("JUPYTER_PATH", str(project / "stray"))
    source = "import os, sys; print(sys.executable, os.environ['IPYTHONDIR'], os.environ['MARK'])"
    path = write(project, "01_any", source)
    kernel = Kernel(nbformat.read(path, 4), project, {"MARK": "here"})
    executed = run_notebook(path, {}, project / "runs", kernel=kernel)
    interpreter, folder, mark = texts(executed)[0].split()
    assert (interpreter, mark) == (sys.executable, "here")
    assert not Path(folder).exists(), "the private folder is gone"


def test_a_kernel_starts_and_imports_while_the_notebook_before_it_runs(project):
    (project / "notebooks" / "slow_package.py").write_text("open('imported', 'w').close()")
    wait = "import os, time\nend = time.monotonic() + 30\n"
    wait += "while not os.path.exists('imported'): assert time.monotonic() < end; time.sleep(0.1)"
    write(project, "01_any", wait, "import slow_package")
    write(project, "02_any", "import slow_package", parameters="import slow_package")
    assert runner.reproduce() == 0


def test_a_kernel_imports_what_the_first_cell_with_imports_does():
    cells = [
        nbformat.v4.new_markdown_cell("import this"),
        nbformat.v4.new_code_cell("%matplotlib inline"),
        nbformat.v4.new_code_cell("x = 1"),
        nbformat.v4.new_code_cell("import numpy as np\nx = 2\nfrom math import (\n    pi,\n)"),
        nbformat.v4.new_code_cell("import os"),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    assert list(first_imports(notebook)) == ["import numpy as np", "from math import pi"]
    assert list(first_imports(nbformat.v4.new_notebook(cells=cells[:3]))) == []


def test_a_killed_kernel_is_reported_at_once_with_its_last_output(project):
    source = "import os, sys; print('x'); sys.__stderr__.write('last words\\n'); os._exit(3)"
    path = write(project, "01_{odd}", source)
    start = time.monotonic()
    with pytest.raises(NotebookFailed) as caught:
        run_notebook(path, {"profile": "quick"}, project / "runs")
    assert time.monotonic() - start < 20
    assert "last words" in caught.value.log.read_text() and "DeadKernelError" in str(caught.value)
    assert sorted(p.name for p in (project / "runs").iterdir()) == [
        "01_{odd}.failed.ipynb",
        "01_{odd}.log",
    ]


def test_ctrl_c_stops_the_kernel_and_leaves_nothing_half_written(project):
    write_pid = "import os, pathlib, time; pathlib.Path('pid').write_text(str(os.getpid()))"
    write(project, "05_mnist_iou", f"{write_pid}\nwhile True: time.sleep(1)")
    process = start_process(project, "reproduce", start_new_session=True)
    pid = project / "notebooks" / "pid"
    wait_until(lambda: pid.exists() and pid.read_text())
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "Traceback" not in err
    assert err.splitlines()[-1].startswith("pruncam: interrupted")
    assert list((project / "runs" / "quick").iterdir()) == []
    wait_until(lambda: not is_alive(int(pid.read_text())))


def wait_until(condition) -> None:
    """Wait until a condition holds, for half a minute at most."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """Return whether a process runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_progress_is_one_line_that_is_rewritten_on_a_terminal():
    class Terminal:
        text = ""

        def write(self, text):
            self.text += text

        def flush(self):
            pass

        def isatty(self):
            return True

    terminal = Terminal()
    with StatusLine("[1/2] 05_mnist_iou", terminal) as status:
        status.show_cell(12, 31)
        time.sleep(1.2)
        status.outcome = "done"
    assert terminal.text.count("\n") == 1
    assert "\r[1/2] 05_mnist_iou  cell 12/31  00:01" in terminal.text
    assert terminal.text.endswith("[1/2] 05_mnist_iou  done  00:01\n")


# ---------------------------------------------------------------- committed notebooks and tables


def test_refreshed_notebooks_are_the_same_at_every_refresh(project):
    (project / "data" / "cache").mkdir(parents=True)
    source = "import os; print(profile, os.path.exists(os.environ['PRUNCAM_CACHE']))"
    path = write(project, "05_mnist_iou", source)
    old = json.loads(path.read_text())
    for cell in old["cells"]:
        del cell["id"]
    path.write_text(json.dumps(old | {"nbformat_minor": 4}))
    assert runner.refresh_notebooks() == 0
    first = path.read_bytes()
    assert texts(path) == ["quick False\n"], "the notebook's defaults, an empty cache"
    assert_free_of_noise(path)
    assert len(nbformat.read(path, 4).cells) == 2, "no injected cell"
    assert runner.refresh_notebooks() == 0
    assert path.read_bytes() == first
    assert not (project / "figures").exists()


def test_worked_solutions_are_refreshed_with_the_notebooks_and_not_reproduced(project, monkeypatch):
    (project / "notebooks" / "solutions").mkdir()
    paths, runs = [write(project, name) for name in ("05_mnist_iou", "solutions/05_solutions")], []

    def execute(path, _, folder, **__):
        runs.append(path)
        notebook = nbformat.read(path, 4)
        notebook.cells[-1].source += "  # executed"
        folder.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, folder / path.name)

    monkeypatch.setattr(runner, "run_notebook", execute)
    assert runner.reproduce() == runner.refresh_expected() == 0
    assert runs == paths[:1] * 2
    assert runner.refresh_notebooks() == 0
    assert runs[2:] == paths and all("# executed" in path.read_text() for path in paths)


def test_a_notebook_that_fails_is_not_written_back(project):
    path = write(project, "05_mnist_iou", "1 / 0")
    before = path.read_bytes()
    assert runner.refresh_notebooks() == 1
    assert path.read_bytes() == before


def test_expected_tables_are_those_of_a_fresh_quick_run(project):
    write(project, "05_mnist_iou", CLAIMS)
    stale = project / "tests" / "expected" / "quick" / "mnist_iou" / "table_stale.csv"
    stale.parent.mkdir(parents=True)
    stale.write_text("x")
    assert runner.refresh_expected() == 0
    assert [p.name for p in stale.parent.iterdir()] == ["claims.csv"]
    assert not (project / "figures").exists()


def test_a_revision_is_dirty_if_code_differs_but_not_if_results_do(tmp_path, monkeypatch):
    def git(*command):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True, capture_output=True)

    monkeypatch.setattr(paths, "project_root", lambda: tmp_path)
    assert manifest.revision() is None, "no checkout"
    (tmp_path / "figures").mkdir()
    names = ("code.py", "README.md", "figures/table.csv")
    for name in names:
        (tmp_path / name).write_text("before")
    git("init", "-q")
    git("add", ".")
    git(
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b",
        "commit",
        "-qm",
        "all",
    )
    clean = manifest.revision()
    assert re.fullmatch("[0-9a-f]{12}", clean)
    for name in ("README.md", "figures/table.csv"):
        (tmp_path / name).write_text("after")
    assert manifest.revision() == clean
    (tmp_path / "code.py").write_text("after")
    assert manifest.revision() == f"{clean}-dirty"
