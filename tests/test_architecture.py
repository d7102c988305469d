"""The structure of the package: which room may import which, and what modules may hold.

A room is a module or subpackage directly under `pruncam`. Imports anywhere in a module count, those
inside functions and under `TYPE_CHECKING` too.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pruncam"
FACE = "pruncam"  # the public names of `pruncam/__init__.py`

# From top to bottom: a room imports from the floors below it and, without a circle, from its own.
FLOORS = (
    ("__main__",),
    ("cli",),
    (FACE,),
    ("reproduce",),
    ("explorer",),
    ("comparison",),
    ("studies",),
    ("report",),
    ("scoring",),
    ("training",),
    # files and settings
    ("datasets", "profiles", "published", "weights"),
    # tensors and modules
    ("networks", "cost", "pruning", "cams", "complexity", "metrics", "statistics"),
    ("_nn",),
    ("_core",),
)
LEVELS = {room: level for level, floor in enumerate(FLOORS) for room in floor}
# "module -> room": reason. Ideally empty.
ALLOWED_UPWARDS: dict[str, str] = {}
# Names of the face that rooms may use: constants that import nothing.
CONSTANTS = {"__version__"}
# The hooks of PEP 562, by which the face imports its names when they are first used.
MODULE_HOOKS = {"__getattr__", "__dir__"}
# The names of studies that are not also names of a score.
STUDY_NAMES = re.compile(r"\b(mnist_iou|sweeps)\b|\bpruncam[./]studies\b|\bstudies/")
MAX_LINE_LENGTH = 100


# ---------------------------------------------------------------- reading the source


@cache
def modules() -> dict[str, Path]:
    """Return the files of the package by their dotted names."""
    names = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        names[".".join(part for part in parts if part != "__init__")] = path
    return names


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported_modules(name: str) -> Iterator[tuple[str, int]]:
    """Iterate over the modules of pruncam that a module imports, each with the line."""
    for node in ast.walk(tree(modules()[name])):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}, line {node.lineno}: a relative import"
            targets = [resolve(node.module, alias.name) for alias in node.names]
        else:
            continue
        for target in targets:
            if target.partition(".")[0] == "pruncam":
                yield target, node.lineno


def resolve(module: str, name: str) -> str:
    """Return the module that `from module import name` needs: a submodule, or `module` itself."""
    if module == "pruncam" and name in CONSTANTS:
        return "constant"
    submodule = f"{module}.{name}"
    is_namespace = (ROOT / submodule.replace(".", "/")).is_dir()
    return submodule if submodule in modules() or is_namespace else module


def room(module: str) -> str:
    """Return the room of a module: "pruncam.cams.gradients" is in "cams"."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else FACE


def find_cycle(graph: dict[str, set[str]]) -> list[str]:
    """Return the nodes of one circle, the first one again at the end; none: an empty list."""
    finished: set[str] = set()

    def visit(node: str, trail: list[str]) -> list[str]:
        if node in trail:
            return [*trail[trail.index(node) :], node]
        if node in finished:
            return []
        for neighbour in sorted(graph.get(node, ())):
            cycle = visit(neighbour, [*trail, node])
            if cycle:
                return cycle
        finished.add(node)
        return []

    return next((cycle for node in sorted(graph) if (cycle := visit(node, []))), [])


def report(offenders: list[str]) -> str:
    return "\n".join([f"{len(offenders)} offenders:", *offenders])


# ---------------------------------------------------------------- imports


def test_every_room_has_its_floor():
    rooms = {room(name) for name in modules()}
    offenders = sorted(rooms - LEVELS.keys())
    assert not offenders, report(offenders)


def test_imports_go_down():
    offenders = []
    for name, path in modules().items():
        for target, line in imported_modules(name):
            level, target_level = LEVELS.get(room(name), -1), LEVELS.get(room(target), -1)
            key = f"{name} -> {room(target)}"
            if target_level < level and key not in ALLOWED_UPWARDS:
                offenders.append(f"{path.relative_to(ROOT)}:{line} imports {target}")
    assert not offenders, report(offenders)


def test_imports_in_functions_and_for_type_checkers_count():
    assert "pruncam.reproduce.doctor" in {target for target, _ in imported_modules("pruncam.cli")}
    assert "pruncam.cams" in {target for target, _ in imported_modules(FACE)}


def test_no_exception_is_out_of_date():
    used = {f"{n} -> {room(target)}" for n in modules() for target, _ in imported_modules(n)}
    assert ALLOWED_UPWARDS.keys() <= used


def test_rooms_of_a_floor_import_each_other_without_a_circle():
    graph: dict[str, set[str]] = {}
    for name in modules():
        for target, _ in imported_modules(name):
            if room(target) != room(name) and LEVELS.get(room(target)) == LEVELS.get(room(name)):
                graph.setdefault(room(name), set()).add(room(target))
    cycle = find_cycle(graph)
    assert not cycle, " -> ".join(cycle)


def test_modules_import_each_other_without_a_circle():
    graph = {name: {target for target, _ in imported_modules(name)} for name in modules()}
    del graph[FACE]  # it imports lazily
    cycle = find_cycle(graph)
    assert not cycle, " -> ".join(cycle)


def test_a_circle_is_found():
    assert find_cycle({"a": {"b"}, "b": {"c", "d"}, "d": {"b"}}) == ["b", "d", "b"]
    assert find_cycle({"a": {"b", "c"}, "b": {"c"}}) == []


# ---------------------------------------------------------------- packages and names


def packages() -> dict[str, Path]:
    return {name: path for name, path in modules().items() if path.name == "__init__.py"}


def test_a_package_only_re_exports():
    offenders = []
    for name, path in packages().items():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                if not (name == FACE and node.name in MODULE_HOOKS):
                    offenders.append(f"{path.relative_to(ROOT)}:{node.lineno} defines {node.name}")
            elif isinstance(node, ast.For | ast.While | ast.With | ast.Lambda):
                kind = type(node).__name__.lower()
                offenders.append(f"{path.relative_to(ROOT)}:{node.lineno} has a {kind}")
    assert not offenders, report(offenders)


def test_a_package_lists_its_public_names():
    offenders = []
    for path in packages().values():
        re_exported = {bound_name for bound_name, _ in re_exports(path)}
        listed = set(public_names(path))
        offenders += [
            f"{path.relative_to(ROOT)}: {name} is not in __all__"
            for name in sorted(re_exported - listed)
            if not name.startswith("_")
        ]
    assert not offenders, report(offenders)


def test_no_module_has_the_name_of_a_function_or_class_beside_it():
    offenders = []
    for name, path in packages().items():
        submodules = {
            other.rpartition(".")[2] for other in modules() if other.rpartition(".")[0] == name
        }
        offenders += [
            f"{path.relative_to(ROOT)}: {bound_name} hides the module {name}.{bound_name}"
            for bound_name, source in re_exports(path)
            if bound_name in submodules and source != f"{name}.{bound_name}"
        ]
    assert not offenders, report(offenders)


def re_exports(path: Path) -> Iterator[tuple[str, str]]:
    """Iterate over the names that a package imports from pruncam, each with its origin."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("pruncam"):
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def public_names(path: Path) -> list[str]:
    """Return the names in `__all__`."""
    for node in tree(path).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    return []


def test_rooms_below_the_studies_do_not_know_them():
    offenders = []
    for name, path in modules().items():
        if LEVELS.get(room(name), -1) <= LEVELS["studies"]:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if STUDY_NAMES.search(line):
                offenders.append(f"{path.relative_to(ROOT)}:{number} {line.strip()}")
    assert not offenders, report(offenders)


# ---------------------------------------------------------------- text


def test_lines_are_not_too_long():
    offenders = []
    for folder in ("pruncam", "tests", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
                if len(line) > MAX_LINE_LENGTH:
                    offenders.append(
                        f"{path.relative_to(ROOT)}:{number} has {len(line)} characters"
                    )
    assert not offenders, report(offenders)


def test_readme_lists_the_rooms_from_top_to_bottom():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^pruncam/(\w+)", text, re.MULTILINE)
    unknown = [name for name in listed if name not in LEVELS]
    assert not unknown, report(unknown)
    levels = [LEVELS[name] for name in listed]
    assert levels == sorted(levels), f"not in the order of the floors: {listed}"
    missing = {room(name) for name in modules()} - {FACE, "__main__"}
    missing -= set(re.findall(r"pruncam/(\w+)", text))
    assert not missing, report(sorted(missing))
