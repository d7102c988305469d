"""Notebook 06 in JupyterLab in a real browser, operated by keyboard.

Skipped without a browser: see `browser` in conftest.py.
"""

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT = 240  # seconds for any step; an idle machine needs half a minute for all of them
NOTEBOOK = "06_explore.ipynb"
STATUS = ".jupyter-widgets [role=status]"
IMAGES = ".jupyter-widgets figure img"
FOLDERS = {  # of JupyterLab and of the package, below a temporary folder
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "IPYTHONDIR": "ipython",
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    "PRUNCAM_FIGURES": "figures",
}


@contextmanager
def jupyterlab(folder: Path, notebooks: Path) -> Iterator[str]:
    """Run JupyterLab on `notebooks` with all its files in `folder`.

    Yields its address, with {} in place of a path.
    """
    disable_questions(folder)
    token, port = secrets.token_hex(16), free_port()
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={notebooks}",
    ]
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            command, env=environment(folder), stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/api?token={token}", server)
        yield f"http://127.0.0.1:{port}/{{}}?token={token}&reset"
    finally:
        server.terminate()  # ends its kernels too
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def disable_questions(folder: Path) -> None:
    """Write JupyterLab settings without the question that would cover the page."""
    settings = folder / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    values = {"fetchNews": "false", "checkForUpdates": False}
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(values))


def environment(folder: Path) -> dict[str, str]:
    variables = os.environ | {name: str(folder / path) for name, path in FOLDERS.items()}
    variables |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"}
    variables.pop("PRUNCAM_DATA", None)
    return variables


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(address: str, server: subprocess.Popen, seconds: float = TIMEOUT) -> None:
    """Wait until the server answers; fail if it ends or does not answer in time."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert server.poll() is None, "JupyterLab ended before it answered"
        try:
            opener.open(address, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(f"JupyterLab did not answer within {seconds:g} s")


def run_all(page) -> None:
    """Run every cell, once the kernel is connected: an earlier command would be dropped."""
    idle = page.locator(".jp-StatusBar-TextItem", has_text=re.compile(r"\| Idle$"))
    idle.wait_for()
    page.locator(".lm-MenuBar-itemLabel", has_text=re.compile("^Run$")).click()
    page.locator(".lm-Menu-itemLabel", has_text=re.compile("^Run All Cells$")).click()
    page.get_by_text(re.compile(r"a move takes \d+ ms")).first.wait_for()
    idle.wait_for()


def control(page, name: str):
    """Return the part of the control called `name` that takes keyboard input."""
    row = page.locator(".widget-inline-hbox", has=page.get_by_text(name, exact=True))
    return row.locator(".noUi-handle, select, input")


def wait_for_change(page, locator, before: str) -> str:
    """Return the text once it differs from `before`."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        now = locator.inner_text()
        if now != before and "Reading" not in now:
            return now
        page.wait_for_timeout(20)
    raise AssertionError(f"after {TIMEOUT} s the text is still {before!r}")


def names_of_controls(page) -> list[str]:
    """Return the accessible name of every control, as the browser computes it."""
    snapshot = page.locator(".pruncam-explorer").aria_snapshot()
    found = re.findall(r'- (?:combobox|slider|button|textbox)(?: "([^"]*)")?', snapshot)
    return found


@pytest.mark.timeout(540)
def test_a_newcomer_runs_the_explorer_and_operates_it_by_keyboard(browser, tmp_path):
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()
    shutil.copyfile(ROOT / "notebooks" / NOTEBOOK, notebooks / NOTEBOOK)
    with jupyterlab(tmp_path, notebooks) as address:
        page, errors = browser.new_page(viewport={"width": 1366, "height": 768}), []
        page.set_default_timeout(1000 * TIMEOUT)
        page.on("pageerror", lambda error: errors.append(str(error)))  # a builtin it cannot wrap
        page.goto(address.format(f"doc/tree/{NOTEBOOK}"))
        run_all(page)
        assert page.locator('[data-mime-type="application/vnd.jupyter.error"]').count() == 0
        text, images = page.locator(STATUS), page.locator(IMAGES)
        assert images.count() == 5 and "pruned by L1 at 40 %" in text.inner_text()
        pixels, before = images.nth(2).get_attribute("src"), text.inner_text()

        page.locator(".pruncam-explorer").evaluate("box => box.scrollIntoView()")
        top = page.locator(".pruncam-explorer").bounding_box()["y"]
        last_control = control(page, "view").bounding_box()
        curve = images.nth(4).bounding_box()
        for box in (last_control, curve):
            assert top < box["y"] and box["y"] + box["height"] < 740, "not on one screen"
        names = names_of_controls(page)
        assert all(names) and {"rate", "data set", "play or pause the rates"} <= set(names)

        rate = page.get_by_role("slider", name="rate")
        assert rate.get_attribute("aria-valuetext") == "40 %"
        rate.press("ArrowRight")
        moved = wait_for_change(page, text, before)
        assert "pruned by L1 at 60 %" in moved
        assert rate.get_attribute("aria-valuetext") == "60 %"
        assert "Mean Sp2PS of all test images at this rate" in moved
        assert images.nth(2).get_attribute("src") != pixels, "the heatmap is still that of 40 %"
        assert images.nth(0).get_attribute("src"), "the image itself is shown"

        control(page, "image").press("ArrowDown")
        other = wait_for_change(page, text, moved)
        assert other.split(",")[0] != moved.split(",")[0], "the text names another image"
        control(page, "target layer").select_option(index=0)
        coarse = wait_for_change(page, text, other)
        assert "(2 x 2 cells)" in coarse

        box = images.nth(1).bounding_box()
        page.mouse.move(box["x"] + 1, box["y"] + 1)
        under_the_mouse = page.locator(".pruncam-hover").inner_text()
        assert re.search(r"row 0, column 0: unpruned [01]\.\d\d, pruned", under_the_mouse)

        play = page.get_by_role("button", name="play or pause the rates")
        play.press("Enter")
        played = wait_for_change(page, text, coarse)
        play.press("Enter")
        assert "pruned by L1 at 80 %" in played

        page.get_by_role("button", name="files of this view").press("Space")
        with page.expect_download() as download:
            page.locator('a[download$="scores.csv"]').press("Enter")
        content = Path(download.value.path()).read_text()
        assert content.startswith("image,class,network") and "sp2ps/quick/" in content

        before = text.inner_text()
        (tmp_path / "bad.png").write_bytes(b"no image")
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="your own picture").press("Space")
        chooser.value.set_files(tmp_path / "bad.png")
        assert "bad.png cannot be read as an image" in wait_for_change(page, text, before)
        assert not errors, errors
        page.close()
