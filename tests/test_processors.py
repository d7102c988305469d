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

# By ATen's capability: the instruction set of oneDNN that matches.
CAPABILITIES = {"default": "SSE41", "avx2": "AVX2"}
OTHERS = [name for name in CAPABILITIES if name.upper() != torch.backends.cpu.get_cpu_capability()]
# Few images and models: on the oldest instruction set, convolutions take several times as long.
SMALLER = {
    "sp2ps": {"rates": [0.4, 0.8], "misleading": [[1, 0.01]]},
    "pe_score": {"rates": [0.35, 0.7], "criteria": ["Weight"], "samples_per_class": 2},
}
FEWER = {"train_images": 200, "test_images": 60, "sensitivity_images": 5}
RUN = """
import json, sys
from pruncam import Machine
from pruncam.studies import pe_score, sp2ps

name, overrides = json.loads(sys.argv[1])
study = {"pe_score": pe_score, "sp2ps": sp2ps}[name]
spec, *_ = study.configure("quick").datasets
config = study.configure("quick", datasets=(spec,), **overrides)
result = study.run(config, False, machine=Machine("cpu"))
print(json.dumps({"stable": result.stable_lines, "curves": result.tables["curves"].to_json()}))
"""


@cache
def results(study: str, capability: str | None) -> tuple[list[str], pd.DataFrame]:
    """Return the stable lines and the table of curves of a smaller quick study."""
    environment = dict(os.environ)
    # A cache of its own, or the other instruction set's results would be taken from it.
    environment["PRUNCAM_CACHE"] = os.path.join(os.environ["PRUNCAM_CACHE"], str(capability))
    if capability is not None:
        environment["ATEN_CPU_CAPABILITY"] = capability
        environment["ONEDNN_MAX_CPU_ISA"] = CAPABILITIES[capability]
    task = json.dumps([study, SMALLER[study] | FEWER])
    process = subprocess.run(
        [sys.executable, "-c", RUN, task], capture_output=True, text=True, env=environment
    )
    assert process.returncode == 0, process.stderr
    content = json.loads(process.stdout.splitlines()[-1])
    return content["stable"], pd.read_json(io.StringIO(content["curves"]))


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
    lines, curves = results(study, None)
    other_lines, other = results(study, capability)
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
