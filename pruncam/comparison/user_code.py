"""Functions of the user, by the name of their module or of their file."""

import ast
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from pruncam._core.validation import short_repr

FUNCTION_SPECS = "package.module:function or FILE.py:function"


def load_function(spec: str, kind: str) -> Callable[..., Any]:
    """Import the function named "package.module:function" or "FILE.py:function".

    `kind` says in error messages what the function is for, such as "custom score". Importing runs
    the module's code. A file may import the modules beside it, as a script may.

    Raises ValueError or OSError if there is no such function.
    """
    module_name, name = split_spec(spec, kind, FUNCTION_SPECS)
    function = getattr(_import_module(module_name), name, None)
    if not callable(function):
        raise ValueError(f"{module_name} has no function {name!r}")
    return function


def split_spec(spec: str, kind: str, expected: str) -> tuple[str, str]:
    """Return the parts of `spec` before and after its last colon."""
    before, _, name = spec.rpartition(":") if isinstance(spec, str) else ("", "", "")
    if not (before and name):
        raise ValueError(f"{kind} must be {expected}, got {short_repr(spec)}")
    return before, name


def one_line(error: BaseException) -> str:
    """Return an error of the user's code on one line."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text[:200]


def _import_module(name: str) -> ModuleType:
    """Import a module by its dotted name or by its file."""
    file = Path(name).expanduser()
    if file.suffix == ".py" and not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    if file.suffix == ".py":
        _reject_shadowed_siblings(file)
    try:
        return _run_file(file) if file.suffix == ".py" else importlib.import_module(name)
    except SystemExit as error:
        raise ValueError(
            f"{name} exits when it is imported: "
            'put what runs the script below if __name__ == "__main__"'
        ) from error
    except Exception as error:  # code of the user may raise any exception
        raise ValueError(f"{name} cannot be imported ({one_line(error)})") from error


def _run_file(file: Path) -> ModuleType:
    """Run a file as a module of its own, known to `sys.modules`, which dataclasses need."""
    name = f"pruncam_user_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None  # a .py file has a loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _importable(file.resolve().parent):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let modules in a folder be imported before all others inside, and after them later on.

    Functions may import when they are called.
    """
    entry = str(folder)
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        sys.path.remove(entry)
        if entry not in sys.path:
            sys.path.append(entry)


def _reject_shadowed_siblings(file: Path) -> None:
    """Raise ValueError if the file would get another module instead of one beside it."""
    folder = file.resolve().parent
    for name in _imported_names(file):
        origin = getattr(sys.modules.get(name), "__file__", None)
        is_beside = (folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file()
        if origin is not None and is_beside and folder not in Path(origin).resolve().parents:
            raise ValueError(
                f"{file} imports {name} from its folder, but {origin} is already imported under "
                "this name: rename one of them"
            )


def _imported_names(file: Path) -> set[str]:
    """Return the top-level names of the modules that a file imports; none if it is no Python."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, ValueError, SyntaxError):
        return set()
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.partition(".")[0])
    return names
