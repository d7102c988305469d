"""The quick studies on other processors: the same printed verdicts, scores within their intervals.

PyTorch and oneDNN choose their code by the processor. A child process limits both to older
instruction sets; the order of sums then differs, and fine-tuning amplifies the difference.
"""

import io
import json
import os
import subprocess
import sys
from functools import cache

import pandas as pd
import pytest
import torch

from pruncam import Machine
from pruncam.studies import pe_score, sp2ps

# By ATen's capability: the instruction set of oneDNN that matches.
CAPABILITIES = {"default": "SSE41", "avx2": "AVX2"}
OTHERS = [name for name in CAPABILITIES if name.upper() != torch.backends.cpu.get_cpu_capability()]
STUDIES = {"sp2ps": sp2ps, "pe_score": pe_score}
# Few images and models: on the oldest instruction set, convolutions take several times as long.
SMALLER = {
    "sp2ps": {"rates": [0.4, 0.8], "misleading": [[1, 0.01]]},
    "pe_score": {"rates": [0.35, 0.7], "criteria": ["Weight"], "samples_per_class": 2},
}
FEWER = {"train_images": 200, "test_images": 60, "sensitivity_images": 5}
# A child process runs all studies: importing PyTorch and its libraries takes seconds.
PROGRAM = """
import json
from test_processors import STUDIES, run
print(json.dumps({name: run(name) for name in STUDIES}))
"""


def run(name: str) -> tuple[list[str], str]:
    """Return the stable lines and the table of curves, as JSON, of a smaller quick study."""
    study = STUDIES[name]
    spec, *_ = study.configure("quick").datasets
    config = study.configure("quick", datasets=(spec,), **SMALLER[name], **FEWER)
    result = study.run(config, False, machine=Machine("cpu"))
    return result.stable_lines, result.tables["curves"].to_json()


@cache
def run_here(name: str) -> tuple[list[str], str]:
    """Return what `run` gives in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRUNCAM_CACHE", os.path.join(os.environ["PRUNCAM_CACHE"], "here"))
        return run(name)


@cache
def run_limited(capability: str) -> dict[str, tuple[list[str], str]]:
    """Return what `run` gives, by study, in a child process limited to an instruction set."""
    limits = {
        "ATEN_CPU_CAPABILITY": capability,
        "ONEDNN_MAX_CPU_ISA": CAPABILITIES[capability],
        # A cache of its own, or results would be taken from another instruction set.
        "PRUNCAM_CACHE": os.path.join(os.environ["PRUNCAM_CACHE"], capability),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=os.environ | limits
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


@pytest.fixture(scope="module", autouse=True)
def cache_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRUNCAM_CACHE", str(tmp_path_factory.mktemp("processors")))
        yield


@pytest.mark.parametrize("capability", OTHERS)
@pytest.mark.parametrize("study", SMALLER)
def test_another_instruction_set_gives_the_same_lines_and_scores_within_their_intervals(
    study, capability
):
    lines, curves = run_here(study)
    other_lines, other = run_limited(capability)[study]
    curves, other = (pd.read_json(io.StringIO(table)) for table in (curves, other))
    assert other_lines == lines
    names = ["dataset", "rule", "rate", "method"]
    pd.testing.assert_frame_equal(curves[names], other[names])
    # 60 images: two of them more or less are 3.4 points.
    assert (curves["accuracy"] - other["accuracy"]).abs().max() < 3.4
    for score in ("sp2ps", "pe"):
        overlap = (curves[f"{score}_low"] <= other[f"{score}_high"]) & (
            other[f"{score}_low"] <= curves[f"{score}_high"]
        )
        assert overlap.all(), curves[~overlap]
