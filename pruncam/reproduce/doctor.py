"""Checks of this machine: one line per check, and how to fix what is missing."""

import importlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec

from pruncam._core import paths

_GIB = 2**30
_LIBRARY = (  # modules that the package itself needs
    "numpy",
    "pandas",
    "scipy",
    "matplotlib",
    "yaml",
    "safetensors",
    "tabulate",
    "threadpoolctl",
    "torch_pruning",
)
_RUNS = ("sklearn", "skimage", "papermill", "nbconvert", "ipykernel")  # `make reproduce`, too
_OPTIONAL = {
    "numba": "speed-ups",
    "pytorch_grad_cam": "checking heatmaps",
    "ipywidgets": "sliders",
    "nbval": "tests",
}
_EXTRAS = {  # what an extra is for, and a module of each of its parts
    "studies": ("the papers' studies, speed-ups", ("sklearn", "skimage", "numba", "llvmlite")),
    "notebooks": ("JupyterLab, all notebooks in one go", ("jupyterlab", "papermill", "ipywidgets")),
    "timm": ("networks by name", ("timm",)),
    "cluster": ("several machines", ("distributed",)),
}
_PYTHONS = ((3, 11), (3, 15))  # from, and below
_ENVIRONMENT_GIB = 8  # 6 of them stay
# The errors that a damaged or mismatched installation raises.
_BROKEN = (ImportError, OSError, RuntimeError, AttributeError)


@dataclass(frozen=True)
class CheckResult:
    """The result of one check: its subject, the finding and, if something is wrong, a cure.

    `fatal` means that the command of this place cannot run.
    """

    subject: str
    finding: str
    cure: str = ""
    fatal: bool = False

    def __str__(self) -> str:
        status = "PROBLEM" if self.fatal else "note" if self.cure else "ok"
        line = f"{status:8}{self.subject:20}{' '.join(self.finding.split())}"
        return f"{line} -> {self.cure}" if self.cure else line


Check = Callable[[], Iterator[CheckResult]]


@dataclass(frozen=True)
class Place:
    """Where the package is: what is checked there, the command that should run, and what is next.

    `reinstall` says how to repair the installation.
    """

    checks: tuple[Check, ...]
    command: str
    reinstall: str
    next_step: str = ""


def main() -> int:
    """Print every check; return 0 if `make reproduce` can run here, else 1.

    Where a wheel is installed, the command is `pruncam compare`.
    """
    place = _place()
    is_fatal = False
    for check in place.checks:
        for result in _results_of(check):
            print(result, flush=True)
            is_fatal |= result.fatal
    if is_fatal:
        print(f"`{place.command}` cannot run here: see PROBLEM above")
    else:
        print(f"`{place.command}` can run here{place.next_step}")
    return int(is_fatal)


def _place() -> Place:
    if paths.checkout() is None:
        return _WHEEL
    return _CHECKOUT if find_spec("torch") else _FRESH_COPY


def _results_of(check: Check) -> Iterator[CheckResult]:
    """Iterate over the results of one check; an error of the check itself is a result too."""
    try:
        yield from check()
    except _BROKEN as error:
        subject = check.__name__.removeprefix("check_")
        yield CheckResult(subject, str(error), _place().reinstall, fatal=True)


# ---------------------------------------------------------------- checks


def check_python() -> Iterator[CheckResult]:
    """Check the version of the interpreter."""
    first, end = _PYTHONS
    fits = first <= sys.version_info[:2] < end
    last = f"{end[0]}.{end[1] - 1}"
    cure = f"Python 3.11 to {last} will do"
    if paths.checkout():
        cure = f"remove .venv, then `make setup PYTHON=python3.12` ({cure})"
    finding = f"{platform.python_version()}, {platform.platform()}"
    yield CheckResult("Python", finding, "" if fits else cure, fatal=not fits)


def check_torch() -> Iterator[CheckResult]:
    """Check torch, and the compiled operators of torchvision, which need a matching torch."""
    import torch

    cuda = torch.version.cuda or "- (CPU only)"
    yield CheckResult("torch", f"{torch.__version__}, built for CUDA {cuda}")
    try:
        import torchvision

        torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    except _BROKEN as error:
        finding = f"does not work with torch {torch.__version__} ({error})"
        cure = f"the two do not match and must be installed together: {_place().reinstall}"
        yield CheckResult("torchvision", finding, cure, fatal=True)
    else:
        yield CheckResult("torchvision", f"{torchvision.__version__}, works with this torch")


def check_devices() -> Iterator[CheckResult]:
    """Check the GPUs, whether this torch has code for them, and the number of CPU threads."""
    import torch

    driver = nvidia_driver()
    # device_count() also counts GPUs that a driver too old cannot serve.
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            yield _cuda_device(index, driver)
    elif driver:
        torch_build = f"a CUDA build of torch ({_place().reinstall})"
        cure = f"a driver of 580 or newer and {torch_build}, or DEVICE=cpu"
        yield CheckResult("cuda", f"not usable, driver {driver}", cure)
    else:
        yield CheckResult("cuda", "no NVIDIA GPU: none is needed")
    mps = "usable" if torch.backends.mps.is_available() else "no Apple GPU"
    yield CheckResult("mps", mps)
    threads = f"torch uses {torch.get_num_threads()} of {os.cpu_count()} CPU cores"
    yield CheckResult("threads", threads)


def _cuda_device(index: int, driver: str | None) -> CheckResult:
    import torch

    major, minor = torch.cuda.get_device_capability(index)
    finding = f"{torch.cuda.get_device_name(index)}, sm_{major}{minor}, driver {driver}"
    cure = "this torch has no code for it: use torch 2.14 built for CUDA 12.6, or DEVICE=cpu"
    is_supported = runs_on((major, minor), torch.cuda.get_arch_list())
    return CheckResult(f"cuda:{index}", finding, "" if is_supported else cure)


def check_room() -> Iterator[CheckResult]:
    """Check the memory, and whether the cache is writable and has room."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB
    cure = "" if memory >= 3.5 else "close other programs: quick needs 4 GiB"
    yield CheckResult("memory", f"{memory:.1f} GiB", cure)
    cache = paths.cache_folder()
    existing = next(folder for folder in (cache, *cache.absolute().parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            free = shutil.disk_usage(existing).free / _GIB
    except OSError as error:
        cure = "set PRUNCAM_CACHE to a folder that you can write to"
        finding = f"{cache} is not writable ({error.strerror})"
        yield CheckResult("cache", finding, cure, fatal=True)
    else:
        cure = "" if free >= 1 else "free 1 GiB, or set PRUNCAM_CACHE to a folder on another disk"
        finding = f"{cache} is writable, {free:.1f} GiB free"
        yield CheckResult("cache", finding, cure, fatal=free < 1)


def check_libraries() -> Iterator[CheckResult]:
    """Check the libraries that every run needs, and those that parts of the project use."""
    yield from _imports((*_LIBRARY, *_RUNS, *_OPTIONAL))


def check_library() -> Iterator[CheckResult]:
    """Check the libraries that the package itself needs."""
    yield from _imports(_LIBRARY)


def _imports(names: tuple[str, ...]) -> Iterator[CheckResult]:
    installed = []
    for name in names:
        try:
            importlib.import_module(name)
            installed.append(name)
        except _BROKEN as error:
            finding = f"cannot be imported ({error}); for {_OPTIONAL.get(name, 'every run')}"
            yield CheckResult(name, finding, _place().reinstall, fatal=name not in _OPTIONAL)
    yield CheckResult("libraries", ", ".join(installed))


def check_extras() -> Iterator[CheckResult]:
    """Say which extras of the package are installed; none is a must."""
    for extra, (purpose, modules) in _EXTRAS.items():
        absent = [name for name in modules if not find_spec(name)]
        finding = f"installed ({purpose})"
        if absent:
            finding = f'not installed: `pip install "pruncam[{extra}]"` ({purpose})'
        yield CheckResult(f"extra {extra}", finding)


def check_environment() -> Iterator[CheckResult]:
    """Check whether there is room for the environment, which is not set up yet."""
    free = shutil.disk_usage(paths.project_root()).free / _GIB
    finding = f"not set up yet; {free:.1f} GiB free where .venv will be"
    cure = f"free {_ENVIRONMENT_GIB} GiB" if free < _ENVIRONMENT_GIB else ""
    yield CheckResult("environment", finding, cure, fatal=bool(cure))


def check_data() -> Iterator[CheckResult]:
    """Check which data sets of the catalogue are there."""
    from pruncam.datasets import catalog

    folders = ", ".join(map(str, paths.data_folders()))
    for name in catalog.names():
        location = catalog.find(name)
        cure = f"{catalog.how_to_get(name)} (data/README.md); quick runs without it"
        finding = str(location or f"not found in {folders}")
        yield CheckResult(name, finding, "" if location else cure)


_SETUP = "`make setup` installs what requirements.lock names (conda: see environment.yml)"
_CHECKOUT = Place(
    (check_python, check_torch, check_devices, check_room, check_libraries, check_data),
    "make reproduce",
    _SETUP,
)
_FRESH_COPY = Place(
    (check_python, check_room, check_environment),
    "make reproduce",
    _SETUP,
    ": it first sets up .venv (some minutes; conda: see environment.yml)",
)
_WHEEL = Place(
    (check_python, check_torch, check_devices, check_room, check_library, check_extras),
    "pruncam compare",
    "`pip install --force-reinstall pruncam` installs all of it again",
)


# ---------------------------------------------------------------- NVIDIA


def nvidia_driver() -> str | None:
    """Return the version of the NVIDIA driver, None if it is missing or does not answer."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    query = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    process = subprocess.run(query, capture_output=True, text=True)
    if process.returncode != 0:
        return None
    first_line, _, _ = process.stdout.partition("\n")
    return first_line.strip()


def runs_on(capability: tuple[int, int], architectures: list[str]) -> bool:
    """Return whether a build of torch runs on a GPU.

    It needs compiled code ("sm_...") of the GPU's major version, up to its minor one, or PTX
    ("compute_...") of any version up to its own.

    >>> runs_on((8, 6), ["sm_80"]), runs_on((7, 0), ["sm_75", "sm_80"])
    (True, False)
    >>> runs_on((12, 1), ["compute_90"])
    True
    """
    for architecture in architectures:
        kind, number = architecture.split("_")
        version = divmod(int(number.rstrip("af")), 10)
        if version <= capability and (kind == "compute" or version[0] == capability[0]):
            return True
    return False
