"""Packaging: public names, command line, dependencies, Makefile, CI, citation."""

import argparse
import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
import torch
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import pruncam
from pruncam import cli
from pruncam.reproduce import doctor

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]


def expanded(requirements: Sequence[str]) -> list[Requirement]:
    """Return requirements; an extra that builds on others holds theirs."""
    result = []
    for requirement in map(Requirement, requirements):
        if requirement.name == PROJECT["name"]:
            for extra in sorted(requirement.extras):
                result += expanded(EXTRAS[extra])
        else:
            result.append(requirement)
    return result


DEPENDENCIES = expanded(PROJECT["dependencies"])
TEST_DEPENDENCIES = expanded(EXTRAS["test"])  # those of the other extras but `docs`, too
DOCS_DEPENDENCIES = expanded(EXTRAS["docs"])
REQUIREMENTS = DEPENDENCIES + TEST_DEPENDENCIES
# Imported only by modules that are imported only where numba can be imported.
COMPILED = (
    "cams/ablation_kernel.py",
    "metrics/_ssim_kernel.py",
    "training/compiled/kernel.py",
    "_nn/compiled/simd.py",
    "_nn/compiled/winograd_kernel.py",
)
CONDA_NAMES = {
    "torch": "pytorch",
    "jupyter-client": "jupyter_client",
    "opencv-python-headless": "py-opencv",
}
# Written by runs or by the user, so not in a fresh checkout.
MADE_BY_RUNS = ("runs", "build", "dist/", "figures/quick", "data/", ".venv")
SUFFIXES = "py|md|ipynb|ya?ml|toml|lock|csv|json|png|svg|cff|cfg|txt"


def run_python(code: str) -> subprocess.CompletedProcess:
    """Run a program in a new interpreter."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


# ---------------------------------------------------------------- public names


def test_every_public_name_can_be_imported():
    names = {
        "Machine",
        "__version__",
        "compare",
        "count_cost",
        "csg",
        "explain",
        "global_unstructured",
        "heatmaps",
        "load_network",
        "remove_filters",
        "score",
        "score_many",
        "summarize",
    }
    assert set(pruncam.__all__) == names
    assert names <= set(dir(pruncam))
    for name in names:
        assert getattr(pruncam, name) is not None
    with pytest.raises(AttributeError, match="module 'pruncam' has no attribute 'heatmap'"):
        _ = pruncam.heatmap


def test_type_checkers_see_the_same_names_as_the_interpreter():
    tree = ast.parse((ROOT / "pruncam" / "__init__.py").read_text())
    (condition,) = [node for node in tree.body if isinstance(node, ast.If)]
    for_checkers = {
        alias.asname or alias.name: (statement.module, alias.name)
        for statement in condition.body
        for alias in statement.names
    }
    assert for_checkers == pruncam._ORIGINS
    assert {*for_checkers, "__version__"} == set(pruncam.__all__)


def test_importing_pruncam_imports_no_library():
    code = """
import sys
before = set(sys.modules)
import pruncam
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(new - set(sys.stdlib_module_names)))
"""
    assert run_python(code).stdout == "['pruncam']\n"


def test_the_face_needs_no_notebook_package_and_the_command_line_no_papermill():
    code = """
import sys
others = ("IPython", "nbformat", "nbconvert", "ipywidgets", "jupyter_client")
for name in ("papermill", *others):
    sys.modules[name] = None  # its import fails
import pruncam
for name in pruncam.__all__:
    getattr(pruncam, name)
import pruncam.studies.mnist_iou
print("torchvision" in sys.modules)  # its import takes seconds
for name in others:
    del sys.modules[name]
import pruncam.reproduce.runner, pruncam.cli
print("command line")
"""
    process = run_python(code)
    assert process.stdout == "False\ncommand line\n", process.stderr


def test_the_package_is_typed():
    assert (ROOT / "pruncam" / "py.typed").is_file()
    assert PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["pruncam"]


# ---------------------------------------------------------------- command line


def test_the_console_script_is_the_command_line():
    assert PROJECT["scripts"] == {"pruncam": "pruncam.cli:main"}


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"pruncam {PROJECT['version']}\n"


def test_help_imports_no_torch():
    code = """
import sys
from pruncam import cli
try:
    cli.main(["--help"])
except SystemExit:
    print("torch" in sys.modules)
"""
    lines = run_python(code).stdout.splitlines()
    assert lines[0].startswith("usage: pruncam") and lines[-1] == "False"
    commands = ("reproduce", "compare", "notebooks", "expected", "doctor", "download")
    assert all(any(line.split()[:1] == [command] for line in lines) for command in commands)


@dataclass(frozen=True)
class Options:
    """Options of every kind that a field can have."""

    path: str = field(metadata={"help": "a path", "metavar": "FILE"})
    rate: float = field(default=0.5, metadata={"help": "a rate, in %", "option": "--lr"})
    seeds: Sequence[int] = field(default=(1, 2), metadata={"help": "seeds"})
    last_layer: str | None = field(default=None, metadata={"help": "a name"})
    hidden: int = 3


def parse(*arguments: str) -> Options:
    parser = argparse.ArgumentParser()
    cli.add_dataclass_options(parser, Options)
    return cli.make_record(Options, vars(parser.parse_args(arguments)))


def test_options_are_the_fields_of_a_dataclass():
    assert parse("--path", "a") == Options("a")
    options = ("--path", "a", "--lr", "0.1", "--seeds", "3", "4", "--last-layer", "conv")
    assert parse(*options) == Options("a", 0.1, (3, 4), "conv")
    assert parse(
        "--path",
        "a",
        "--seeds",
        "3",
        "--seeds",
        "4",
    ) == Options("a", seeds=(3, 4))


def test_help_shows_the_defaults_of_the_dataclass():
    parser = argparse.ArgumentParser()
    cli.add_dataclass_options(parser, Options)
    text = " ".join(parser.format_help().split())
    assert "--path FILE a path" in text
    assert "a rate, in % (default: 0.5)" in text and "seeds (default: 1 2)" in text
    assert "hidden" not in text


@pytest.mark.parametrize("arguments", [[], ["--path", "a", "--lr", "x"], ["--hidden", "4"]])
def test_a_missing_or_unsuitable_option_is_refused(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        parse(*arguments)
    assert stop.value.code == 2 and "error" in capsys.readouterr().err


# ---------------------------------------------------------------- dependencies


def conda_packages() -> dict[str, SpecifierSet]:
    """Return the packages for conda users, those of the pip command included."""
    text = (ROOT / "environment.yml").read_text()
    pip_command = re.search("pip install.*", text)[0]
    lines = yaml.safe_load(text)["dependencies"] + re.findall(r'"(.+?)"', pip_command)
    pairs = [re.fullmatch(r"([\w.-]+)\s*(.*)", line).groups() for line in lines]
    return {name: SpecifierSet(versions) for name, versions in pairs}


def locked() -> dict[str, list[str]]:
    """Return the entries of requirements.lock by package; some differ between Pythons."""
    packages: dict[str, list[str]] = {}
    for entry in re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text().strip()):
        packages.setdefault(canonicalize_name(entry.partition("==")[0]), []).append(entry)
    return packages


def imported_packages(*folders: str) -> set[str]:
    """Return the distributions that the Python files of some folders import, not each other."""
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    files = {path.stem for path in paths}
    nodes = [node for path in paths for node in ast.walk(ast.parse(path.read_text()))]
    return {distribution(name) for name in imported_modules(nodes) - {"benchmarks", *files}}


def imported_modules(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the modules that import statements among the nodes name, without our own."""
    modules = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            modules |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module.partition(".")[0])
    return modules - {*sys.stdlib_module_names, "pruncam"}


@cache
def distributions() -> Mapping[str, list[str]]:
    """Return the installed distributions by the modules that they hold."""
    return metadata.packages_distributions()


def distribution(module: str) -> str:
    return canonicalize_name(distributions()[module][0])


def names(requirements: Iterable[Requirement]) -> set[str]:
    return {canonicalize_name(requirement.name) for requirement in requirements}


def test_every_imported_package_is_declared():
    declared = names(REQUIREMENTS)
    assert imported_packages("pruncam", "tests", "benchmarks") - declared == set()
    declared |= names(DOCS_DEPENDENCIES)
    assert imported_packages("docs") - declared == {"docutils"}  # Sphinx's own


def test_the_library_declares_no_package_that_it_does_not_import():
    by_pandas = {"tabulate"}  # for tables in Markdown
    assert names(DEPENDENCIES) - imported_packages("pruncam") == by_pandas


def extra_of(statement: ast.With) -> str | None:
    """Return the extra that `with needed_for(purpose, extra):` names, None for another `with`."""
    call = statement.items[0].context_expr
    is_ours = isinstance(call, ast.Call) and ast.unparse(call.func) == "needed_for"
    return ast.literal_eval(call.args[1]) if is_ours else None


def unguarded_imports(source: str) -> Iterator[str]:
    """Iterate over what imports of a module beyond the library's own packages do wrong."""
    tree, library = ast.parse(source), names(DEPENDENCIES)
    guarded: set[ast.AST] = set()
    for statement in ast.walk(tree):
        extra = extra_of(statement) if isinstance(statement, ast.With) else None
        if extra is None:
            continue
        guarded |= set(statement.body)
        for name in imported_modules(statement.body):
            if distribution(name) not in names(expanded(EXTRAS[extra])):
                yield f"{name} is not in the extra {extra}"
    for name in imported_modules(node for node in ast.walk(tree) if node not in guarded):
        if distribution(name) not in library:
            yield f"{name} is imported without the sentence of a missing extra"


def test_imports_of_an_extra_say_which_one_is_missing():
    problems = [
        f"{path.relative_to(ROOT)}: {problem}"
        for path in (ROOT / "pruncam").rglob("*.py")
        if not path.as_posix().endswith(COMPILED)
        for problem in unguarded_imports(path.read_text())
    ]
    assert not problems, problems
    wrong = 'import timm\nwith needed_for("x", "timm"):\n    import timm, sklearn\n'
    assert sorted(unguarded_imports(wrong)) == [
        "sklearn is not in the extra timm",
        "timm is imported without the sentence of a missing extra",
    ]


@pytest.mark.parametrize("requirement", DOCS_DEPENDENCIES, ids=lambda requirement: requirement.name)
def test_lock_holds_the_tools_of_the_book(requirement):
    entries = locked()[canonicalize_name(requirement.name)]
    versions = [re.match(r"\S+==(\S+)", entry).group(1) for entry in entries]
    assert versions and all(requirement.specifier.contains(version) for version in versions)


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda requirement: requirement.name)
def test_environment_and_lock_hold_every_dependency(requirement):
    conda_name = CONDA_NAMES.get(requirement.name, requirement.name)
    assert conda_packages()[conda_name] == requirement.specifier
    entries = locked()[canonicalize_name(requirement.name)]
    versions = [re.match(r"\S+==(\S+)", entry).group(1) for entry in entries]
    assert versions
    assert all(requirement.specifier.contains(version) for version in versions)


def test_lock_names_the_exact_pair_of_torch_and_torchvision():
    for name, version in {"torch": "2.15.0", "torchvision": "0.29.2"}.items():
        (entry,) = locked()[name]
        assert re.match(rf"{name}=={re.escape(version)} ", entry)


def test_every_package_of_the_lock_has_a_version_and_hashes():
    entries = [entry for group in locked().values() for entry in group]
    assert len(entries) > 100
    pattern = re.compile(r"[\w.-]+==[\w.+!]+( ; [^\n]+)? \\\n    --hash=sha256:[0-9a-f]{64}")
    assert not [entry for entry in entries if not pattern.match(entry)]


def test_lock_holds_no_index_address():
    text = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"://|index-url|find-links|@ file|trusted-host", text)


def test_torchvision_works_with_the_installed_torch():
    import torchvision

    # The second box overlaps the first.
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]])
    selected = torchvision.ops.nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5)
    message = "torch and torchvision do not match: `make setup` installs the versions of the lock"
    assert selected.tolist() == [0, 2], message


# ---------------------------------------------------------------- supported Pythons


def supported_pythons() -> list[str]:
    """Return the minor versions that pyproject.toml allows."""
    allowed = SpecifierSet(PROJECT["requires-python"])
    return [f"3.{minor}" for minor in range(30) if allowed.contains(f"3.{minor}.0")]


def test_all_files_name_the_same_pythons():
    first, *_, last = supported_pythons()
    assert conda_packages()["python"] == SpecifierSet(PROJECT["requires-python"])
    assert f"Python {first} to {last}" in (ROOT / "README.md").read_text()
    makefile = (ROOT / "Makefile").read_text()
    assert f"needs Python {first} to {last}" in makefile
    end = int(last.removeprefix("3.")) + 1
    bounds = (3, int(first.removeprefix("3."))), (3, end)
    assert f"{bounds[0]} <= sys.version_info[:2] < {bounds[1]}" in makefile
    assert bounds == doctor._PYTHONS
    assert PYPROJECT["tool"]["ruff"]["target-version"] == f"py{first.replace('.', '')}"


def test_public_ci_tests_every_python():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text())
    job = workflow["jobs"]["test"]
    assert job["strategy"]["matrix"]["python"] == supported_pythons()
    assert any(step.get("run", "").startswith("make test ") for step in job["steps"])


def test_ci_runs_the_test_command():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    lines = [line for line in script.read_text().splitlines() if "make" in line]
    assert lines == ["exec make test"]


def test_the_commit_hooks_are_the_checks_of_make_lint():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]
    assert [hook["id"] for hook in hooks] == ["ruff", "ruff-format", "mypy"]
    assert all(hook["language"] == "system" for hook in hooks)


# ---------------------------------------------------------------- Makefile and README


def phony_targets() -> set[str]:
    """Return the targets of the Makefile that a user may name."""
    declared = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M).group(1)
    return set(declared.split()) - {"FORCE"}


def test_help_is_the_default_and_lists_every_target():
    command = ["make", "--no-print-directory"]
    process = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    listed = dict(re.findall(r"^  ([a-z-]+) +(\S.*)$", process.stdout, re.M))
    assert set(listed) == phony_targets()
    targets = {"setup", "reproduce", "test", "check", "doctor", "lab", "bench", "lock", "clean"}
    assert targets | {"notebooks", "expected"} <= set(listed)


def test_a_misspelt_variable_is_refused():
    for word, known in (("profile=paper", False), ("PROFIL=x", False), ("DATA=a b", True)):
        command = ["make", "--dry-run", "help", word]
        process = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        assert (process.returncode == 0) == known
        assert known or f"unknown variable {word.partition('=')[0]}: choose among PROFILE" in (
            process.stderr
        )


def test_jupyterlab_serves_the_project_and_opens_the_first_notebook():
    recipe = (ROOT / "Makefile").read_text().partition("\nlab:")[2].partition("\n\n")[0]
    assert '--ServerApp.root_dir="$(CURDIR)"' in recipe
    page = re.search(r"default_url=/lab/tree/(\S+)", recipe).group(1)
    assert page == min(path.relative_to(ROOT).as_posix() for path in ROOT.glob("notebooks/*.ipynb"))


def test_the_fast_tests_exist():
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    names = re.search(r"^FAST_TESTS = .*suffix \.py,(.*)\)\)$", makefile, re.M).group(1).split()
    assert len(names) > 10 and "architecture" in names
    assert not [name for name in names if not (ROOT / "tests" / f"test_{name}.py").is_file()]


def readme_code() -> tuple[list[str], list[str]]:
    """Return the README's inline code and its fenced blocks."""
    text = (ROOT / "README.md").read_text()
    fence = re.compile(r"^```.*?\n(.*?)^```", re.M | re.S)
    return re.findall(r"`([^`\n]+)`", fence.sub("", text)), fence.findall(text)


def readme_paths() -> set[str]:
    """Return the files and folders of this project that the README names."""
    text = (ROOT / "README.md").read_text()
    inline, blocks = readme_code()
    folders = sorted(re.escape(entry.name) for entry in ROOT.iterdir() if entry.is_dir())
    is_path = re.compile(rf"[\w.<>*-]+/[\w.<>*/-]*|[\w.<>*-]+\.({SUFFIXES})")
    in_block = re.compile(rf"(?<![\w./=~$-])((?:{'|'.join(folders)})/[\w.<>*/-]*)")
    paths = {word for word in inline if is_path.fullmatch(word)}
    paths |= {path for block in blocks for path in in_block.findall(block)}
    links = re.findall(r"\]\(([^)#\s]+)", text)
    paths |= {link for link in links if not re.match(r"[a-z]+:", link)}
    paths |= set(re.findall(r"<img[^>]* src=\"([^\"]+)\"", text))
    return {path for path in paths if not path.startswith(MADE_BY_RUNS) or path == "data/README.md"}


def exists(path: str) -> bool:
    """Return whether a path is in the checkout.

    <name> stands for anything, and a bare file name may be in any folder.
    """
    pattern = re.sub(r"<[^>]*>", "*", path).rstrip("/")
    if "/" in pattern:
        return any(any(folder.glob(pattern)) for folder in (ROOT, ROOT / "pruncam"))
    folders = [entry for entry in ROOT.iterdir() if entry.is_dir() and entry.name[0] != "."]
    return any(ROOT.glob(pattern)) or any(any(folder.rglob(pattern)) for folder in folders)


def test_readme_names_only_paths_that_exist():
    paths = readme_paths()
    assert len(paths) >= 8, f"too few paths in README.md to mean anything: {sorted(paths)}"
    assert not sorted(path for path in paths if not exists(path))


def test_readme_names_only_make_targets_that_exist():
    inline, blocks = readme_code()
    names = {
        target for code in inline + blocks for target in re.findall(r"\bmake ([a-z][\w-]*)", code)
    }
    assert {"reproduce", "test"} <= names
    assert names <= phony_targets()


def test_citation_names_the_four_papers():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == PROJECT["version"] == pruncam.__version__
    works = {work["authors"][0]["family-names"]: work for work in citation["references"]}
    assert len(citation["references"]) == 4
    assert {name: work.get("doi") for name, work in works.items()} == {
        "Renza": "10.3390/informatics10030072",
        "Pachon": "10.3390/bdcc7020111",
        "Lukkien": None,  # a bachelor's thesis
        "Lozano": None,  # its text states none
    }
    for work in works.values():
        assert work["title"] and work["type"] in ("article", "thesis")


def test_the_deposit_is_described_as_in_the_citation():
    deposit = json.loads((ROOT / ".zenodo.json").read_text())
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    for name in ("title", "version", "keywords", "license"):
        assert deposit[name] == citation[name]
    assert deposit["description"] == citation["abstract"]
    assert deposit["creators"] == citation["authors"]
    papers = {work["doi"] for work in citation["references"] if "doi" in work}
    assert {work["identifier"] for work in deposit["related_identifiers"]} == papers


def test_the_container_sets_itself_up_with_a_supported_python():
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert container["image"].rpartition(":")[2] in supported_pythons()
    assert container["postCreateCommand"].removeprefix("make ") in phony_targets()


# ---------------------------------------------------------------- doctor


def test_doctor_recommends_only_downloads_that_exist():
    from pruncam.datasets import catalog
    from pruncam.datasets.folder_set import FolderSet

    lines = {result.subject: str(result) for result in doctor.check_data()}
    assert set(lines) == set(catalog.names())
    for name in ("tiny-imagenet-10", "tiny-imagenet-100", "covid19"):
        assert isinstance(catalog._SOURCES[name], FolderSet)
        assert "make download" not in lines[name]
        assert f"{name} " in lines[name], "a blank follows the longest name"
    for name in ("mnist", "cifar10", "stl10"):
        assert " ok " in f" {lines[name]}" or f"`make download NAME={name}`" in lines[name]


def test_doctor_prints_a_cure_for_every_problem(monkeypatch, capsys, tmp_path):
    blocked = tmp_path / "a file, not a folder"
    blocked.touch()
    monkeypatch.setenv("PRUNCAM_CACHE", str(blocked / "cache"))
    monkeypatch.setitem(sys.modules, "numba", None)  # None: the import fails
    assert doctor.main() == 1
    lines = capsys.readouterr().out.splitlines()
    troubles = {line.split()[1]: line for line in lines if line.startswith(("PROBLEM", "note"))}
    assert troubles["cache"].startswith("PROBLEM")
    assert "set PRUNCAM_CACHE" in troubles["cache"]
    assert troubles["numba"].startswith("note")
    assert all(" -> " in line for line in troubles.values())


def test_doctor_finds_this_environment_fit(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("PRUNCAM_CACHE", str(tmp_path))
    assert doctor.main() == 0
    lines = capsys.readouterr().out.splitlines()
    subjects = {line.split()[1] for line in lines}
    checks = {"Python", "torch", "torchvision", "threads", "memory", "cache", "libraries", "digits"}
    assert checks <= subjects
    assert lines[-1] == "`make reproduce` can run here"
