"""One notebook, headless, through papermill: checked parameters, this interpreter's kernel, rename when done."""

import ast
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pruncam import places

Watch = Callable[[int, int], None]
PLAIN = {"str", "int", "float", "bool", "list", "dict", "None"}  # papermill would turn any other value into a string
TYPES = PLAIN | {"tuple"}
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


class NotebookFailed(RuntimeError):
    """A notebook stopped with an error; `.notebook` and `.log` are what was kept of it."""

    def __init__(self, message: str, notebook: Path, log: Path):
        super().__init__(message)
        self.notebook, self.log = notebook, log


def run_notebook(
    path: Path,
    parameters: Mapping[str, Any] | None,
    out_folder: Path,
    *,
    environment: Mapping[str, str] | None = None,
    watch: Watch | None = None,
) -> Path:
    """Run one notebook in its own folder and write it, executed, to `out_folder/NAME.ipynb` and `.html`.

    A notebook that stops with an error is kept as `NAME.failed.ipynb` with its error in `NAME.log`, and NotebookFailed
    is raised. A parameter that the notebook does not declare, or of another type, is a ValueError before anything runs.
    `environment` is added to the kernel's; `watch(cell, cells)` is called as each cell starts.
    """
    path, parameters = Path(path).resolve(), dict(parameters or {})
    notebook = load(path)
    _check_parameters(path.name, declared_parameters(notebook), parameters)
    out_folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".running-", dir=out_folder) as folder:
        partial = Path(folder).resolve() / path.name
        failure = _execute(notebook, partial, parameters, path.parent, environment or {}, watch)
        if failure is not None:
            raise _keep_failure(partial, out_folder, failure)
        return _keep(partial, out_folder)


def load(path: Path) -> Any:
    """Read a notebook; cells of an old one that have no id get one that is the same at every reading."""
    import nbformat

    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["nbformat"] != 4:
            raise ValueError
        for index, cell in enumerate(content["cells"]):
            cell.setdefault("id", f"cell-{index:02d}")
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path.name} is not a notebook of format 4: open and save it in JupyterLab") from None
    content["nbformat_minor"] = max(5, content.get("nbformat_minor", 0))
    return nbformat.reads(json.dumps(content), as_version=4)


def save(notebook: Any, path: Path) -> None:
    """Write a notebook under a temporary name in the same folder, then rename it."""
    import nbformat

    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(nbformat.writes(notebook).rstrip("\n") + "\n", encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def clean(notebook: Any) -> Any:
    """Take out, in place, what differs from run to run: papermill's times and paths, time stamps, the patch version."""
    notebook.metadata.pop("papermill", None)
    notebook.metadata.get("language_info", {}).pop("version", None)
    notebook.metadata["kernelspec"] = dict(KERNEL)
    for cell in notebook.cells:
        for noise in ("papermill", "execution"):
            cell.metadata.pop(noise, None)
        if not cell.metadata.get("tags", True):
            del cell.metadata["tags"]
    return notebook


# ---------------------------------------------------------------- parameters


def declared_parameters(notebook: Any) -> dict[str, set[str] | None]:
    """The names in the cell tagged `parameters`, each with the names of its types, or None where they cannot be told.

    Read with `ast`: papermill's own inspection misses `x: str | None = None`, and any line whose comment has a "=".
    """
    cells = [c for c in notebook.cells if c.cell_type == "code" and "parameters" in c.metadata.get("tags", [])]
    declared: dict[str, set[str] | None] = {}
    try:
        statements = ast.parse("\n".join(cell.source for cell in cells)).body
    except SyntaxError as error:
        raise ValueError(f"the parameters cell is not plain Python: {error}") from None
    for statement in statements:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            declared[statement.target.id] = _annotated(statement.annotation)
        elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            declared[statement.targets[0].id] = _type_of_default(statement.value)
    return declared


def _annotated(annotation: ast.expr) -> set[str] | None:
    """Type names of an annotation: `list[int] | None` gives {"list", "None"}."""
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        left, right = _annotated(annotation.left), _annotated(annotation.right)
        return left | right if left and right else None
    if isinstance(annotation, ast.Subscript):
        return _annotated(annotation.value)
    name = ast.unparse(annotation)
    return {name} if name in TYPES else None


def _type_of_default(value: ast.expr) -> set[str] | None:
    """Type name of a literal default; a None tells nothing about what may come."""
    try:
        default = ast.literal_eval(value)
    except ValueError:
        return None
    return None if default is None else {type(default).__name__}


def _check_parameters(name: str, declared: Mapping[str, set[str] | None], parameters: Mapping[str, Any]) -> None:
    """Refuse what papermill would only warn of."""
    for key, value in parameters.items():
        if key not in declared:
            known = ", ".join(declared) or "none"
            raise ValueError(f"{name} has no parameter {key!r}: known parameters are {known}")
        types, given = declared[key], "None" if value is None else type(value).__name__
        accepted = {"int": {"int", "float"}, "list": {"list", "tuple"}}.get(given, {given})
        if given not in PLAIN or (types is not None and not accepted & types):
            wanted = " or ".join(sorted(types or PLAIN))
            raise ValueError(f"{name}: parameter {key!r} must be {wanted}, got {value!r} ({given})")


# ---------------------------------------------------------------- running


def _execute(
    notebook: Any, partial: Path, parameters: dict, cwd: Path, environment: Mapping[str, str], watch: Watch | None
) -> str | None:
    """Run `notebook` into the file `partial`; what went wrong as text, or None."""
    with tempfile.TemporaryDirectory(prefix="pruncam-kernel-") as private:
        log = Path(private) / "kernel.log"
        try:
            with log.open("w") as output:
                manager = _kernel_manager(Path(private), output, environment)
                _papermill(notebook, partial, parameters, cwd, manager, watch)
        except Exception as error:  # whatever stops one notebook must not stop the others
            text = f"{log.read_text(errors='replace')}\n{type(error).__name__}: {error}"
            return re.sub(r"\x1b\[[0-9;]*m", "", text).strip() + "\n"
    return None


def _papermill(notebook: Any, partial: Path, parameters: dict, cwd: Path, manager: type, watch: Watch | None) -> None:
    """Call papermill; each finished cell is in the file `partial` at once, so that a killed kernel leaves its trace."""
    import papermill
    import zmq
    from traitlets.config import Config

    config = Config()
    if zmq.has("curve"):  # else every kernel prints that it runs without encryption
        config.KernelManager.transport_encryption = "auto"
    source = partial.with_suffix(".source.ipynb")
    save(notebook, source)
    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # its errors come as exceptions
    papermill.execute_notebook(
        *(re.sub(r"([{}])", r"\1\1", str(file)) for file in (source, partial)),  # papermill formats paths
        parameters=parameters,
        kernel_name="python3",
        language="python",
        progress_bar=False,
        cwd=cwd,
        config=config,
        kernel_manager_class=manager,
        on_cell_start=_starting(len(notebook.cells) + bool(parameters), watch),
    )


def _starting(cells: int, watch: Watch | None) -> Callable[..., None]:
    """nbclient's hook, in terms of ours."""

    def starting(cell: Any, cell_index: int) -> None:
        if watch is not None:
            watch(cell_index + 1, cells)

    return starting


def _kernel_manager(private: Path, output: Any, environment: Mapping[str, str]) -> type:
    """A manager whose `python3` is this interpreter, whatever other kernel has that name; it keeps to `private`."""
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from traitlets import default

    class ThisInterpreter(KernelSpecManager):
        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            return KernelSpec(resource_dir="", **get_kernel_dict())

    class Manager(AsyncKernelManager):
        @default("kernel_spec_manager")
        def _this_interpreter(self) -> KernelSpecManager:
            return ThisInterpreter()

        async def start_kernel(self, **options: Any) -> None:
            self.connection_file = str(private / "connection.json")
            env = _kernel_environment(private, environment)
            await super().start_kernel(**options, env=env, stdout=output, stderr=output)

    return Manager


def _kernel_environment(private: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The kernel's environment: a private IPython folder, and this very copy of pruncam."""
    env = {**os.environ, **environment, "IPYTHONDIR": str(private / "ipython")}
    env["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # or the debugger warns of frozen modules
    checkout = places.project_root()
    if (checkout / "pruncam").is_dir():
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(checkout), env.get("PYTHONPATH")]))
    return env


# ---------------------------------------------------------------- keeping


def _keep(partial: Path, out_folder: Path) -> Path:
    """Clean and rename an executed notebook, with its page beside it; what a failed run left is gone."""
    notebook = clean(load(partial))
    final = out_folder / partial.name
    page = partial.with_suffix(".html")
    page.write_text(_html(notebook, partial.stem), encoding="utf-8")
    _forget(out_folder, partial.stem)
    os.replace(page, final.with_suffix(".html"))
    save(notebook, final)
    return final


def _keep_failure(partial: Path, out_folder: Path, text: str) -> NotebookFailed:
    """Keep what there is of a failed notebook; an older success of the same name would tell the wrong story."""
    _forget(out_folder, partial.stem)
    kept, log = out_folder / f"{partial.stem}.failed.ipynb", out_folder / f"{partial.stem}.log"
    if partial.exists():
        save(clean(load(partial)), kept)
    else:  # the kernel did not even start
        shutil.copyfile(partial.with_suffix(".source.ipynb"), kept)
    log.write_text(text, encoding="utf-8")
    return NotebookFailed(text, kept, log)


def _forget(out_folder: Path, stem: str) -> None:
    """Remove what an earlier run of this notebook left."""
    for ending in (".ipynb", ".html", ".failed.ipynb", ".log"):
        (out_folder / f"{stem}{ending}").unlink(missing_ok=True)


def _html(notebook: Any, title: str) -> str:
    """The notebook as one page."""
    from nbconvert import HTMLExporter

    return HTMLExporter().from_notebook_node(notebook, resources={"metadata": {"name": title}})[0]
