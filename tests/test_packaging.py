"""What is promised about installing: the lock, the conda file, the Makefile, the README's paths, the citation."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import pruncam
from pruncam import doctor

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [Requirement(text) for text in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]]
CONDA_NAMES = {"torch": "pytorch"}
# Written by runs or by the user, so not in a fresh checkout.
MADE_BY_RUNS = ("runs", "build", "figures/quick", "data/", ".venv")
SUFFIXES = "py|md|ipynb|ya?ml|toml|lock|csv|json|png|svg|cff|cfg|txt"


def conda_packages() -> dict[str, SpecifierSet]:
    """The packages of environment.yml with their versions; those that conda does not have are in its pip command."""
    text = (ROOT / "environment.yml").read_text()
    lines = yaml.safe_load(text)["dependencies"] + re.findall(r'"(.+?)"', re.search("pip install.*", text)[0])
    pairs = [re.fullmatch(r"([\w.-]+)\s*(.*)", line).groups() for line in lines]
    return {name: SpecifierSet(versions) for name, versions in pairs}


def locked() -> dict[str, list[str]]:
    """The entries of requirements.lock by package, each with its hashes (one package may differ between Pythons)."""
    packages: dict[str, list[str]] = {}
    for entry in re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text().strip()):
        packages.setdefault(canonicalize_name(entry.partition("==")[0]), []).append(entry)
    return packages


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda requirement: requirement.name)
def test_environment_and_lock_hold_every_dependency(requirement):
    assert conda_packages()[CONDA_NAMES.get(requirement.name, requirement.name)] == requirement.specifier
    versions = [re.match(r"\S+==(\S+)", entry).group(1) for entry in locked()[canonicalize_name(requirement.name)]]
    assert versions
    assert all(requirement.specifier.contains(version) for version in versions)


def test_environment_allows_the_pythons_of_pyproject():
    assert conda_packages()["python"] == SpecifierSet(PROJECT["requires-python"])


def test_lock_names_the_exact_pair_of_torch_and_torchvision():
    for name, version in {"torch": "2.15.0", "torchvision": "0.29.2"}.items():
        (entry,) = locked()[name]
        assert re.match(rf"{name}=={re.escape(version)} ", entry)


def test_every_package_of_the_lock_has_a_version_and_hashes():
    entries = [entry for group in locked().values() for entry in group]
    assert len(entries) > 100
    shape = re.compile(r"[\w.-]+==[\w.+!]+( ; [^\n]+)? \\\n    --hash=sha256:[0-9a-f]{64}")
    assert not [entry for entry in entries if not shape.match(entry)]


def test_lock_holds_no_index_address():
    text = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"://|index-url|find-links|@ file|trusted-host", text)


def test_torchvision_works_with_the_installed_torch():
    import torchvision

    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]])  # the second overlaps the first
    kept = torchvision.ops.nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5)
    assert kept.tolist() == [0, 2], "torch and torchvision are not a pair: `make setup` installs the one of the lock"


def test_ground_floor_imports_without_the_optional_libraries():
    code = """
import importlib, sys
blocked = ("pytorch_grad_cam", "papermill", "ipywidgets", "numba")
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ImportError(f"blocked: {name}")
sys.meta_path.insert(0, Blocker())
for name in blocked:
    try:
        importlib.import_module(name)
    except ImportError:
        continue
    raise SystemExit(f"{name} is not blocked, so nothing is tested")
for name in ("cams", "metrics", "pruning", "models", "datasets", "datasets.catalog", "doctor", "__main__"):
    importlib.import_module(f"pruncam.{name}")
print("all imported")
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (ran.returncode, ran.stdout) == (0, "all imported\n"), ran.stderr


def phony_targets() -> set[str]:
    """The targets of the Makefile that a user may name."""
    declared = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M).group(1)
    return set(declared.split()) - {"FORCE"}


def test_help_is_the_default_and_lists_every_target():
    ran = subprocess.run(["make", "--no-print-directory"], capture_output=True, text=True, cwd=ROOT, check=True)
    listed = dict(re.findall(r"^  ([a-z-]+) +(\S.*)$", ran.stdout, re.M))
    assert set(listed) == phony_targets()
    assert {"setup", "reproduce", "test", "doctor", "lab", "bench", "lock", "notebooks", "expected", "clean"} <= set(
        listed
    )


def readme_code() -> tuple[list[str], list[str]]:
    """The README's inline code and its fenced blocks."""
    text = (ROOT / "README.md").read_text()
    fence = re.compile(r"^```.*?\n(.*?)^```", re.M | re.S)
    return re.findall(r"`([^`\n]+)`", fence.sub("", text)), fence.findall(text)


def readme_paths() -> set[str]:
    """What the README names as a file or folder of this project: in inline code, shell lines, the map and links."""
    inline, blocks = readme_code()
    top = "|".join(sorted(re.escape(entry.name) for entry in ROOT.iterdir() if entry.is_dir()))
    found = {word for word in inline if re.fullmatch(rf"[\w.<>*-]+/[\w.<>*/-]*|[\w.<>*-]+\.({SUFFIXES})", word)}
    found |= {path for block in blocks for path in re.findall(rf"(?<![\w./=~$-])((?:{top})/[\w.<>*/-]*)", block)}
    text = (ROOT / "README.md").read_text()
    found |= {link for link in re.findall(r"\]\(([^)#\s]+)", text) if not re.match(r"[a-z]+:", link)}
    found |= set(re.findall(r"<img[^>]* src=\"([^\"]+)\"", text))
    return {path for path in found if not path.startswith(MADE_BY_RUNS) or path == "data/README.md"}


def exists(path: str) -> bool:
    """Whether a path is in the checkout: <name> stands for anything, a bare file name may lie in any folder."""
    pattern = re.sub(r"<[^>]*>", "*", path).rstrip("/")
    if "/" in pattern:
        return any(any(folder.glob(pattern)) for folder in (ROOT, ROOT / "pruncam"))
    folders = [entry for entry in ROOT.iterdir() if entry.is_dir() and entry.name[0] != "."]
    return any(ROOT.glob(pattern)) or any(any(folder.rglob(pattern)) for folder in folders)


def test_readme_names_only_paths_that_exist():
    paths = readme_paths()
    assert len(paths) >= 8, f"too few paths found in README.md to mean anything: {sorted(paths)}"
    assert not sorted(path for path in paths if not exists(path))


def test_readme_names_only_make_targets_that_exist():
    inline, blocks = readme_code()
    named = {target for code in inline + blocks for target in re.findall(r"\bmake ([a-z][\w-]*)", code)}
    assert {"reproduce", "test"} <= named
    assert named <= phony_targets()


def test_ci_runs_the_test_command():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert [line for line in script.read_text().splitlines() if "make" in line] == ["exec make test"]


def test_citation_names_the_four_papers():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == PROJECT["version"] == pruncam.__version__
    first_authors = {work["authors"][0]["family-names"]: work for work in citation["references"]}
    assert {name: work.get("doi") for name, work in first_authors.items()} == {
        "Renza": "10.3390/informatics10030072",
        "Pachon": "10.3390/bdcc7020111",
        "Lukkien": None,  # a bachelor's thesis
        "Lozano": None,  # its text states none
    }
    assert len(citation["references"]) == 4
    assert all(work["title"] and work["type"] in ("article", "thesis") for work in citation["references"])


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
    assert {"Python", "torch", "torchvision", "threads", "memory", "cache", "libraries", "digits"} <= subjects
    assert lines[-1] == "`make reproduce` can run here"
