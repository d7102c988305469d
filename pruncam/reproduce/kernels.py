"""Kernels that run notebooks with this interpreter, and can start before their notebook does."""

import ast
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pruncam._core import paths
from pruncam._core.extras import needed_for
from pruncam._core.leftovers import temporary_folder

_WITHOUT_HISTORY = "--HistoryManager.hist_file=:memory:"


class Kernel:
    """The kernel of one notebook. As it starts, it imports what the notebook imports.

    Parameters
    ----------
    notebook : content of the notebook
    folder : working directory
    environment : variables that are added to this process's environment
    """

    def __init__(
        self, notebook: Any, folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._folder = folder
        self._environment = environment or {}
        self._imports = list(first_imports(notebook))
        self._private = temporary_folder("pruncam-kernel")
        private = Path(self._private.name)
        self._log = private / "kernel.log"
        self._log.touch()
        self.manager: Any = _new_manager(private / "connection.json")

    @property
    def log(self) -> str:
        """What the kernel's process has printed."""
        return self._log.read_text(errors="replace")

    def start(self) -> None:
        """Start the process, unless it runs."""
        with needed_for("running notebooks", "notebooks"):
            from nbclient.util import run_sync

        run_sync(self.launch)()

    def stop(self) -> None:
        """Stop the process, if it runs, and remove the kernel's files."""
        with needed_for("running notebooks", "notebooks"):
            from nbclient.util import run_sync

        run_sync(self._shut_down)()
        self._private.cleanup()

    async def launch(self) -> None:
        """Start the process, unless it runs; for code that runs in an event loop."""
        if self.manager.has_kernel:
            return
        lines = [f"--IPKernelApp.exec_lines={statement}" for statement in self._imports]
        with self._log.open("w") as output:
            await self.manager.start_kernel(
                extra_arguments=[_WITHOUT_HISTORY, *lines],
                cwd=str(self._folder),
                env=_environment(self._log.parent, self._environment),
                stdout=output,
                stderr=output,
            )

    async def _shut_down(self) -> None:
        if await self.manager.is_alive():
            await self.manager.shutdown_kernel()
        await self.manager.cleanup_resources()
        if self.manager.latest_client is not None:
            self.manager.latest_client.stop_channels()


def first_imports(notebook: Any) -> Iterator[str]:
    """Iterate over the import statements of the first code cell that has any."""
    for cell in notebook.cells:
        statements = _statements(cell.source) if cell.cell_type == "code" else []
        imports = [node for node in statements if isinstance(node, ast.Import | ast.ImportFrom)]
        if imports:
            yield from map(ast.unparse, imports)
            return


def _statements(source: str) -> list[ast.stmt]:
    """Return the statements of a cell; none if it is not plain Python."""
    try:
        return ast.parse(source).body
    except SyntaxError:
        return []


def _new_manager(connection_file: Path) -> Any:
    """Return a manager of a kernel of this interpreter; other kernels named python3 are ignored."""
    with needed_for("running notebooks", "notebooks"):
        import zmq
        from ipykernel.kernelspec import get_kernel_dict
        from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
        from jupyter_client.manager import AsyncKernelManager
        from traitlets.config import Config

    class ThisInterpreter(KernelSpecManager):
        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            return KernelSpec(resource_dir="", **get_kernel_dict())

    class Manager(AsyncKernelManager):
        latest_client: Any = None

        def client(self, **options: Any) -> Any:
            self.latest_client = super().client(**options)
            return self.latest_client

    config = Config()
    if zmq.has("curve"):  # else every kernel prints that it runs without encryption
        config.KernelManager.transport_encryption = "auto"
    return Manager(
        kernel_name="python3",
        kernel_spec_manager=ThisInterpreter(),
        connection_file=str(connection_file),
        config=config,
    )


def _environment(private: Path, added: Mapping[str, str]) -> dict[str, str]:
    """Return the kernel's environment: a private IPython folder, and this copy of pruncam."""
    env = {**os.environ, **added, "IPYTHONDIR": str(private / "ipython")}
    env["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # or the debugger warns about frozen modules
    checkout = paths.project_root()
    if (checkout / "pruncam").is_dir():
        search_path = [str(checkout), env.get("PYTHONPATH")]
        env["PYTHONPATH"] = os.pathsep.join(filter(None, search_path))
    return env
