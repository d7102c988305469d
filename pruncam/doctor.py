"""What this machine has, what it lacks, and how to cure it: one line per check."""

import importlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

from pruncam import places

GIB = 2**30
REQUIRED = ("numpy", "pandas", "scipy", "sklearn", "skimage", "matplotlib", "yaml", "papermill", "ipykernel")
OPTIONAL = {"numba": "speed-ups", "pytorch_grad_cam": "checking heatmaps", "ipywidgets": "sliders", "nbval": "tests"}
REINSTALL = "`make setup` installs what requirements.lock names (conda: see environment.yml)"
BROKEN = (ImportError, OSError, RuntimeError, AttributeError)  # what a damaged or mismatched installation raises


@dataclass(frozen=True)
class Line:
    """One check: its subject, what was found, and, where that is wanting, the cure."""

    subject: str
    found: str
    cure: str = ""
    fatal: bool = False  # `make reproduce` cannot run

    def __str__(self) -> str:
        mark = "PROBLEM" if self.fatal else "note" if self.cure else "ok"
        return f"{mark:8}{self.subject:17}{' '.join(self.found.split())}" + (f" -> {self.cure}" if self.cure else "")


def check_python() -> Iterator[Line]:
    """The interpreter's version."""
    misfit = not (3, 11) <= sys.version_info[:2] < (3, 14)
    cure = "remove .venv, then `make setup PYTHON=python3.12` (3.11 to 3.13 will do)" if misfit else ""
    yield Line("Python", f"{platform.python_version()}, {platform.platform()}", cure, misfit)


def check_torch() -> Iterator[Line]:
    """torch, and torchvision's compiled operators, which load only beside the torch they were built for."""
    import torch

    yield Line("torch", f"{torch.__version__}, built for CUDA {torch.version.cuda or '- (CPU only)'}")
    try:
        import torchvision

        torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    except BROKEN as error:
        cure = f"the two are not a pair and must be installed together: {REINSTALL}"
        yield Line("torchvision", f"does not work with torch {torch.__version__} ({error})", cure, fatal=True)
    else:
        yield Line("torchvision", f"{torchvision.__version__}, works with this torch")


def check_devices() -> Iterator[Line]:
    """The graphics processors, whether this torch has code for them, and the processor's threads."""
    import torch

    driver = nvidia_driver()
    usable = torch.cuda.is_available()  # device_count() also counts what a driver too old cannot serve
    for index in range(torch.cuda.device_count() if usable else 0):
        capability = torch.cuda.get_device_capability(index)
        found = f"{torch.cuda.get_device_name(index)}, sm_{capability[0]}{capability[1]}, driver {driver}"
        hit = runs_on(capability, torch.cuda.get_arch_list())
        cure = "" if hit else "this torch holds no code for it: use torch 2.14 built for CUDA 12.6, or DEVICE=cpu"
        yield Line(f"cuda:{index}", found, cure)
    if not usable:
        cure = f"a driver of 580 or newer and a CUDA build of torch ({REINSTALL}), or DEVICE=cpu" if driver else ""
        yield Line("cuda", f"not usable, driver {driver}" if driver else "no NVIDIA GPU: quick needs none", cure)
    yield Line("mps", "usable" if torch.backends.mps.is_available() else "no Apple GPU")
    yield Line("threads", f"torch uses {torch.get_num_threads()} of {os.cpu_count()} processors")


def check_room() -> Iterator[Line]:
    """Memory, and whether the cache can be written and has room."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    yield Line("memory", f"{memory:.1f} GiB", "" if memory >= 3.5 else "close other programs: quick wants 4 GiB")
    cache = places.cache_folder()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache):
            free = shutil.disk_usage(cache).free / GIB
    except OSError as error:
        cure = "set PRUNCAM_CACHE to a folder that you can write to"
        yield Line("cache", f"{cache} cannot be written ({error.strerror})", cure, fatal=True)
    else:
        cure = "" if free >= 1 else "free 1 GiB, or set PRUNCAM_CACHE to a folder on another disk"
        yield Line("cache", f"{cache} can be written, {free:.1f} GiB free", cure, fatal=free < 1)


def check_libraries() -> Iterator[Line]:
    """The libraries that a run needs, and those that only parts of the project use."""
    found = []
    for name in (*REQUIRED, *OPTIONAL):
        try:
            importlib.import_module(name)
            found.append(name)
        except BROKEN as error:
            yield Line(name, f"no import ({error}); for {OPTIONAL.get(name, 'every run')}", REINSTALL, name in REQUIRED)
    yield Line("libraries", ", ".join(found))


def check_data() -> Iterator[Line]:
    """The catalogue's data sets, and where they lie."""
    from pruncam.datasets import catalog

    folders = ", ".join(map(str, places.data_folders()))
    for name in catalog.names():
        place = catalog.find(name)
        cure = "" if place else f"`make download NAME={name}` (data/README.md); quick runs without it"
        yield Line(name, str(place or f"not found in {folders}"), cure)


def nvidia_driver() -> str | None:
    """The version of the NVIDIA driver, None where it is missing or does not answer."""
    if not (tool := shutil.which("nvidia-smi")):
        return None
    query = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True)
    return answer.stdout.partition("\n")[0].strip() if answer.returncode == 0 else None


def runs_on(capability: tuple[int, int], architectures: list[str]) -> bool:
    """Whether a build runs on a device: with code of its major version up to its minor one, or PTX of any older one.

    >>> runs_on((8, 6), ["sm_80"]), runs_on((7, 0), ["sm_75", "sm_80"]), runs_on((12, 1), ["compute_90"])
    (True, False, True)
    """
    built = [(kind, divmod(int(number.rstrip("af")), 10)) for kind, number in (a.split("_") for a in architectures)]
    return any(b <= capability and (kind == "compute" or b[0] == capability[0]) for kind, b in built)


def main() -> int:
    """Print every check; 0 if `make reproduce` can run here, else 1."""
    fatal = False
    for check in (check_python, check_torch, check_devices, check_room, check_libraries, check_data):
        try:
            for line in check():
                print(line, flush=True)
                fatal |= line.fatal
        except BROKEN as error:
            print(Line(check.__name__.removeprefix("check_"), str(error), REINSTALL, fatal=True), flush=True)
            fatal = True
    print("`make reproduce` cannot run here: see PROBLEM above" if fatal else "`make reproduce` can run here")
    return int(fatal)
