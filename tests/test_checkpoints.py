"""Checkpoints as training scripts write them, and the networks that they belong to."""

import argparse
import collections
import copy
import hashlib
import os
import random
import subprocess
import sys
import types
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import timm.data
import torch
import torch_pruning
import torchvision
from PIL import Image
from torch import nn
from torch.nn import utils
from torch.nn.utils import parametrizations, prune

from pruncam import comparison, networks, pruning
from pruncam.comparison import checkpoints, preprocessing, user_code
from pruncam.comparison.constructors import find_constructor
from pruncam.comparison.files import Files
from pruncam.comparison.model_spec import build
from pruncam.comparison.settings import Settings
from pruncam.datasets.decoding import Decoder

CODE = """
from torch import nn

class Network(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU())
        self.head = nn.Linear(6, classes)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))

def network(num_classes=4):
    return Network(num_classes)
"""
X = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    file = tmp_path_factory.mktemp("code") / "mine.py"
    file.write_text(CODE)
    return f"{file}:network"


@pytest.fixture(scope="module")
def model(spec):
    torch.manual_seed(0)
    network = user_code.load_function(spec, "model")(5)
    network(X)  # running statistics
    return network.eval()


def saved(content, folder, **options):
    torch.save(content, folder / "a.pt", **options)
    return folder / "a.pt"


def loaded(file, spec, location=None, size=12):
    return build(find_constructor(spec), checkpoints.read(file), (size, size), location)


@torch.no_grad()
def same_output(one, other, x=X):
    return torch.allclose(one.eval()(x), other.eval()(x), atol=1e-5)


def renamed(model, prefix):
    return {prefix + name: value for name, value in model.state_dict().items()}


def doubled(model, prefix=""):
    """Return other weights for the same network."""
    return {prefix + name: 2 * value for name, value in model.state_dict().items()}


# ---------------------------------------------------------------- wrappers

WRAPPERS = {
    "plain": (lambda m: m.state_dict(), "the state dict"),
    "DataParallel": (lambda m: {"state_dict": renamed(m, "module.")}, "state_dict.module"),
    "compiled": (lambda m: renamed(m, "_orig_mod."), "the state dict"),
    "compiled, then DataParallel": (lambda m: renamed(m, "module._orig_mod."), "module"),
    "compiled in part": (
        lambda m: {k.replace("body.", "body._orig_mod."): v for k, v in m.state_dict().items()},
        "the state dict",
    ),
    "torchvision's training": (
        lambda m: {
            "model": m.state_dict(),
            "optimizer": torch.optim.SGD(m.parameters(), 0.1, momentum=0.9).state_dict(),
            "epoch": 3,
            "args": argparse.Namespace(lr=0.1, output_dir=Path("runs")),
        },
        "model",
    ),
    "Lightning": (
        lambda m: {
            "state_dict": {**renamed(m, "model."), "criterion.weight": torch.ones(5)},
            "hyper_parameters": {"width": np.float64(0.5), "kind": collections.defaultdict(int)},
        },
        "state_dict.model; no part of the network: state_dict.criterion.weight",
    ),
    "average beside": (
        lambda m: {
            "model": m.state_dict(),
            "model_ema": {"n_averaged": torch.tensor(9), **doubled(m, "module.")},
        },
        "model; not used: model_ema.module",
    ),
    "average in the same dict": (
        lambda m: {"state_dict": {**doubled(m, "ema_model."), **renamed(m, "model.")}},
        "state_dict.model; not used: state_dict.ema_model",
    ),
    "average alone": (
        lambda m: {"state_dict_ema": m.state_dict(), "epoch": 3},
        "state_dict_ema",
    ),
    "saved twice": (lambda m: {"last": m.state_dict(), "saved": m.state_dict()}, "last; not used:"),
    "a dict for each part": (
        lambda m: {"body": m.body.state_dict(), "head": m.head.state_dict()},
        "the state dict",
    ),
    "counts of thop": (
        lambda m: {**m.state_dict(), "total_ops": torch.ones(1), "body.total_ops": torch.ones(1)},
        "the state dict",
    ),
    "BatchNorm of PyTorch 0.4": (
        lambda m: {k: v for k, v in m.state_dict().items() if "num_batches" not in k},
        "the state dict",
    ),
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_weights_are_read_from_every_wrapper(wrapper, model, spec, tmp_path):
    wrap, location = WRAPPERS[wrapper]
    result = loaded(saved(wrap(copy.deepcopy(model)), tmp_path), spec)
    assert same_output(result.network, model) and not result.network.training
    assert (result.classes, result.channels) == (5, 3)
    assert result.weights.describe().startswith(location)


def test_the_old_format_of_pytorch_is_read_and_has_no_checksums(model, spec, tmp_path):
    content = {"model": model.state_dict(), "args": argparse.Namespace(lr=0.1)}
    file = saved(content, tmp_path, _use_new_zipfile_serialization=False)
    assert same_output(loaded(file, spec).network, model)
    assert checkpoints.read(file).verified == "not verified: the format has no checksums"


def test_objects_of_packages_that_are_not_installed_are_left_out(model, spec, tmp_path):
    class AttributeDict(dict):  # as that of Lightning, which is a dict
        pass

    module = types.ModuleType("not_installed")
    module.AttributeDict = AttributeDict
    AttributeDict.__module__, AttributeDict.__qualname__ = "not_installed", "AttributeDict"
    sys.modules["not_installed"] = module
    arguments = AttributeDict(width=np.float32(2), path=Path("x"))
    file = saved({"state_dict": model.state_dict(), "hyper_parameters": arguments}, tmp_path)
    del sys.modules["not_installed"]
    assert same_output(loaded(file, spec).network, model)


def test_one_of_several_weights_can_be_named(model, spec, tmp_path):
    file = saved({"state_dict": model.state_dict(), "state_dict_ema": doubled(model)}, tmp_path)
    average = loaded(file, spec, "state_dict_ema").network
    assert torch.equal(average.head.weight, 2 * model.head.weight)
    with pytest.raises(ValueError, match="no weights of the network under 'best': they are under"):
        loaded(file, spec, "best")


def test_weights_that_cannot_be_told_apart_are_refused(model, spec, tmp_path):
    file = saved({"student": model.state_dict(), "other": doubled(model)}, tmp_path)
    with pytest.raises(ValueError, match="under student, other: name one of them with --weights"):
        loaded(file, spec)
    assert same_output(loaded(file, spec, "student").network, model)


# ---------------------------------------------------------------- safetensors


def test_safetensors_are_read_whatever_the_order_of_their_names(model, spec, tmp_path):
    state = dict(sorted(model.state_dict().items(), reverse=True))
    safetensors.torch.save_file(state, tmp_path / "a.safetensors")
    result = loaded(tmp_path / "a.safetensors", spec)
    assert same_output(result.network, model) and result.classes == 5


def test_tensors_with_two_names_are_stored_once_in_safetensors(tmp_path):
    (tmp_path / "tied.py").write_text(
        "from torch import nn\n"
        "def network():\n"
        "    layers = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.AdaptiveAvgPool2d(1)\n"
        "    layers[1].weight = layers[0].weight\n"
        "    return nn.Sequential(*layers, nn.Flatten())\n"
    )
    spec = f"{tmp_path}/tied.py:network"
    tied = user_code.load_function(spec, "model")()
    safetensors.torch.save_model(tied, str(tmp_path / "a.safetensors"))
    assert same_output(loaded(tmp_path / "a.safetensors", spec).network, tied)


def test_half_precision_becomes_that_of_the_network(model, spec, tmp_path):
    state = {name: value.half() for name, value in model.state_dict().items()}
    network = loaded(saved(state, tmp_path), spec).network
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert torch.allclose(network(X), model(X), atol=0.01)


# ---------------------------------------------------------------- weights in parts


def hooks(model):
    with warnings.catch_warnings(action="ignore"):
        utils.weight_norm(model.body[0])
        utils.spectral_norm(model.head)


def parametrized(model):
    parametrizations.weight_norm(model.body[0])
    parametrizations.spectral_norm(model.head)


def whole_norm(model):
    parametrizations.weight_norm(model.head, dim=None)


def masked(model):
    prune.random_unstructured(model.body[0], "weight", 0.4)
    prune.random_unstructured(model.head, "bias", 0.4)


@pytest.mark.parametrize("change", [hooks, parametrized, whole_norm, masked])
def test_normalised_and_masked_weights_are_those_of_pytorchs_forward_pass(
    change, model, spec, tmp_path
):
    changed = copy.deepcopy(model).train()
    change(changed)
    changed(X)  # vectors of the spectral norm
    changed.eval()
    result = loaded(saved(changed.state_dict(), tmp_path), spec)
    assert same_output(result.network, changed)
    assert result.network.state_dict().keys() == model.state_dict().keys()


@pytest.mark.parametrize("change", ["parametrizations.weight_norm", "weight_norm"])
def test_a_function_may_return_a_network_in_parts(change, model, tmp_path):
    code = CODE.replace("return Network(num_classes)", "return changed(Network(num_classes))")
    code += f"\ndef changed(network):\n    nn.utils.{change}(network.head)\n    return network\n"
    (tmp_path / "mine.py").write_text(code)
    changed = copy.deepcopy(model)
    with warnings.catch_warnings(action="ignore"):
        (parametrizations if "." in change else utils).weight_norm(changed.head)
        network = loaded(
            saved(changed.state_dict(), tmp_path), f"{tmp_path}/mine.py:network"
        ).network
    assert same_output(network, model)
    assert same_output(copy.deepcopy(network), model)  # which the hooks of weight_norm prevent


# ---------------------------------------------------------------- fewer filters


def test_a_network_with_fewer_filters_fits_its_unpruned_spec(tmp_path):
    torch.manual_seed(0)
    network = networks.vgg11(5, image_size=32, width=4, classifier_width=8, batch_norm=True)
    small = pruning.remove_filters(network, 0.5, example_input=torch.zeros(1, 3, 32, 32))
    rebuilt = loaded(saved(small.state_dict(), tmp_path), "pruncam:vgg11", size=32).network
    counts = [len(module.weight) for module in pruning.prunable(rebuilt).values()]
    assert counts == [2, 4, 8, 8, 16, 16, 16, 16, 4, 4, 5]
    assert same_output(rebuilt, small, torch.rand(1, 3, 32, 32))


def test_the_plain_state_dict_of_a_network_of_torch_pruning_fits(tmp_path):
    torch.manual_seed(0)
    network = torchvision.models.mobilenet_v2(num_classes=3, width_mult=0.25).eval()
    (tmp_path / "mine.py").write_text(
        "from torchvision.models import mobilenet_v2\n"
        "def network(num_classes):\n"
        "    return mobilenet_v2(num_classes=num_classes, width_mult=0.25)\n"
    )
    pruner = torch_pruning.pruner.MagnitudePruner(
        network,
        torch.rand(1, 3, 32, 32),
        importance=torch_pruning.importance.MagnitudeImportance(),
        pruning_ratio=0.5,
        ignored_layers=[network.classifier[1]],
    )
    pruner.step()
    file = saved(network.state_dict(), tmp_path)
    rebuilt = loaded(file, f"{tmp_path}/mine.py:network", size=32).network
    assert same_output(rebuilt, network, torch.rand(2, 3, 32, 32))


def test_a_pruned_network_with_layer_norm_and_prelu_comes_back(tmp_path):
    (tmp_path / "mine.py").write_text(NORMS)
    spec = f"{tmp_path}/mine.py:network"
    torch.manual_seed(0)
    big, small = (user_code.load_function(f"{tmp_path}/mine.py:Norms", "")(n) for n in (8, 4))
    assert same_output(loaded(saved(small.state_dict(), tmp_path), spec).network, small)
    state = small.state_dict()
    with pytest.raises(ValueError, match="'scale' has the shape"):
        pruning.load_state(copy.deepcopy(big), state)
    rebuilt = pruning.load_state(copy.deepcopy(big), state, example_input=X)
    assert same_output(rebuilt, small)


NORMS = """
import torch
from torch import nn

class Norms(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.head = nn.Linear(width, 3)  # defined before the body
        self.scale = nn.Parameter(torch.rand(width, 1, 1))
        self.group = nn.GroupNorm(2, width)
        self.instance = nn.InstanceNorm2d(width, affine=True, track_running_stats=True)
        self.prelu = nn.PReLU(width)
        self.stem = nn.Conv2d(3, width, 3)
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        x = self.instance(self.group(self.prelu(self.scale * self.stem(x))))
        return self.head(self.norm(x.mean((2, 3))))

def network():
    return Norms(8)
"""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"head.weight": (2, 4), "head.bias": (2,)}, "it gives 2 logits, the model 3"),
        ({"stem.weight": (4, 1, 3, 3)}, "'scale' has the shape .*cannot take images of"),
        ({"prelu.weight": (3,)}, "'scale' has the shape .*cannot take images of shape"),
        ({"group.weight": (3,), "group.bias": (3,)}, "'group.weight' has the shape"),
    ],
)
def test_a_state_that_fits_no_forward_pass_is_refused_and_changes_nothing(
    change, message, tmp_path
):
    (tmp_path / "mine.py").write_text(NORMS)
    big, small = (user_code.load_function(f"{tmp_path}/mine.py:Norms", "")(n) for n in (8, 4))
    before = copy.deepcopy(big.state_dict())
    state = small.state_dict() | {name: torch.ones(shape) for name, shape in change.items()}
    with pytest.raises(ValueError, match=message):
        pruning.load_state(big, state, example_input=X)
    assert all(torch.equal(value, before[name]) for name, value in big.state_dict().items())


# ---------------------------------------------------------------- other files


def whole_model(folder, model):
    return saved({"model": nn.Sequential(nn.Linear(2, 2)), "epoch": 3}, folder)


def of_torch_pruning(folder, model):
    torch_pruning.save(torch_pruning.state_dict(model), folder / "a.pt")
    return folder / "a.pt"


def script(folder, model):
    torch.jit.trace(model, X).save(folder / "a.pt")
    return folder / "a.pt"


def other_zip(folder, model):
    with zipfile.ZipFile(folder / "a.pt", "w") as archive:
        archive.writestr("cat/0.png", b"x")
    return folder / "a.pt"


def beginning(folder, model):
    file = saved(model.state_dict(), folder)
    file.write_bytes(file.read_bytes()[:3000])
    return file


def text(content):
    def write(folder, model):
        (folder / "a.pt").write_bytes(content)
        return folder / "a.pt"

    return write


def pipe(folder, model):
    os.mkfifo(folder / "a.pt")
    return folder / "a.pt"


def cut_safetensors(folder, model):
    safetensors.torch.save_file(model.state_dict(), folder / "a.safetensors")
    content = (folder / "a.safetensors").read_bytes()
    (folder / "a.safetensors").write_bytes(content[:-4])
    return folder / "a.safetensors"


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
CONVERT = r"save the weights with torch.save\(model.state_dict\(\), 'weights.pt'\)"
OTHER_FILES = {
    "a whole model": (
        whole_model,
        rf"holds a whole model \(\S*Sequential\), .* weights_only=False\), and {CONVERT}",
    ),
    "torch_pruning.state_dict": (
        of_torch_pruning,
        f"written by torch_pruning.state_dict, .* torch_pruning.load_state_dict, and {CONVERT}",
    ),
    "TorchScript": (script, f"is a TorchScript program: load the Python model .*{CONVERT}"),
    "a zip": (other_zip, "is a zip that torch.save did not write"),
    "a cut file": (beginning, "is cut off: copy or download it again"),
    "an empty file": (text(b""), "is empty: copy or download it again"),
    "a Git LFS pointer": (text(LFS), "is a Git LFS pointer to the weights: .* git lfs pull"),
    "a web page": (text(b"<!DOCTYPE html><html>"), "is a web page: download the file itself"),
    "gzip": (text(b"\x1f\x8b\x08\x00"), "is compressed: unpack it"),
    "a folder": (lambda folder, _: folder, "is a folder: pass the file with the weights"),
    "a file of the kernel": (lambda *_: Path("/proc/self/mem"), "/proc/self/mem is empty: copy"),
    "a pipe": (pipe, "is no regular file: pass the file with the weights"),
    "cut safetensors": (cut_safetensors, "a.safetensors is damaged or cut off"),
    "numbers": (lambda folder, _: saved([1, 2], folder), "contains a list instead of weights"),
    "no tensors": (
        lambda folder, _: saved({"epoch": 3, "lr": 0.1}, folder),
        r"contains no weights \(its entries: epoch, lr\)",
    ),
}


@pytest.mark.parametrize("kind", OTHER_FILES)
def test_what_is_no_checkpoint_gets_its_own_sentence(kind, model, tmp_path):
    write, message = OTHER_FILES[kind]
    file = write(tmp_path, model)
    with pytest.raises(ValueError, match=message) as caught:
        checkpoints.read(file)
    assert "\n" not in str(caught.value)


class Runs:
    """An object that runs code when it is unpickled."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


@pytest.mark.parametrize(
    "hostile",
    [
        Runs(os.mkdir, "ran"),
        Runs(eval, "__import__('os').mkdir('ran')"),
        Runs(subprocess.check_call, ["mkdir", "ran"]),
    ],
    ids=["mkdir", "eval", "subprocess"],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_that_would_run_code_does_not(hostile, zipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = {"state_dict": {"a": torch.ones(1)}, "args": hostile}
    file = saved(content, tmp_path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=rf"a.pt contains \S+, but only weights .*: {CONVERT}"):
        checkpoints.read(file)
    assert not os.path.exists("ran")


def test_a_flipped_bit_is_noticed_or_changes_nothing(model, tmp_path):
    state = {"state_dict": model.state_dict(), "args": argparse.Namespace(lr=0.1)}
    file = saved(state, tmp_path)
    intact = file.read_bytes()
    draw = random.Random(0)
    refused = 0
    for _ in range(150):
        content = bytearray(intact)
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        file.write_bytes(content)
        try:
            read = checkpoints.read(file).groups
        except ValueError:
            refused += 1
            continue
        assert read.keys() == {"state_dict"}
        weights = read["state_dict"]
        assert all(torch.equal(weights[k], v) for k, v in model.state_dict().items())
    assert refused > 50


def test_a_damaged_tensor_is_named(model, tmp_path):
    file = saved(model.state_dict(), tmp_path)
    content = bytearray(file.read_bytes())
    content[content.index(model.head.weight.detach().numpy().tobytes()) + 1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"is damaged \(the checksum of \S+/data/\d+ is wrong\)"):
        checkpoints.read(file)


def test_formats_without_checksums_are_verified_where_the_sha256_is_known(model, tmp_path):
    file = tmp_path / "a.safetensors"
    safetensors.torch.save_file(model.state_dict(), file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    assert checkpoints.read(file).verified == "not verified: the format has no checksums"
    (tmp_path / "a.safetensors.sha256").write_text(f"{sha256}  a.safetensors\n")
    assert checkpoints.read(file).verified == "SHA-256 verified"
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / sha256).write_bytes(file.read_bytes())  # as in Hugging Face's cache
    link = tmp_path / "model.safetensors"
    link.symlink_to(tmp_path / "blobs" / sha256)
    assert checkpoints.read(link).verified == "SHA-256 verified"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    for target in (file, tmp_path / "blobs" / sha256):
        target.write_bytes(content)
    for damaged in (file, link):
        with pytest.raises(ValueError, match=r"is damaged \(its SHA-256 is not \w{12}\.\.\.\)"):
            checkpoints.read(damaged)


# ---------------------------------------------------------------- weights of another network


def without(model, *names):
    return {name: value for name, value in model.state_dict().items() if name not in names}


MISFITS = {
    "other names": (
        lambda m: nn.Sequential(nn.Linear(3, 2)).state_dict(),
        "its weights are named 0.weight, 0.bias, those of the network body.0.weight, .*, ...$",
    ),
    "a part is missing": (
        lambda m: renamed(m.body, "model.body."),
        r"it has 6 of the network's 8 weights under 'model', but not head.weight, head.bias$",
    ),
    "a part has another name": (
        lambda m: {k.replace("head.", "fc."): v for k, v in m.state_dict().items()},
        "it has 6 of .* but not head.weight, head.bias; it also has fc.weight, fc.bias$",
    ),
    "a part more": (
        lambda m: {**m.state_dict(), "attention.weight": torch.ones(2)},
        "it also has attention.weight, which the network has not: build the network as it was",
    ),
    "other sizes": (
        lambda m: m.state_dict() | {"body.0.weight": torch.ones(6, 3, 5, 5)},
        r"'body.0.weight' has the shape \(6, 3, 5, 5\), the model's has \(6, 3, 3, 3\)",
    ),
}


@pytest.mark.parametrize("case", MISFITS)
def test_weights_of_another_network_are_refused_with_the_names_of_both(case, model, spec, tmp_path):
    change, message = MISFITS[case]
    with pytest.raises(ValueError, match=f"^a.pt does not fit .*mine.py:network: .*{message}"):
        loaded(saved(change(model), tmp_path), spec)


# ---------------------------------------------------------------- facts of the network

UNUSUAL = """
from torch import nn

class HeadFirst(nn.Module):
    '''Defined in another order than it is applied in, with an auxiliary head at the end.'''

    def __init__(self, num_classes, in_channels):
        super().__init__()
        self.head = nn.Linear(8, num_classes)
        self.late = nn.Conv2d(12, 8, 3)
        self.stem = nn.Conv2d(in_channels, 12, 3, groups=in_channels)
        self.auxiliary = nn.Linear(12, 2)

    def forward(self, x):
        x = self.stem(x)
        return self.head(self.late(x).mean((2, 3)))

def head_first(num_classes=10, in_channels=3):
    return HeadFirst(num_classes, in_channels)

def convolution(classes):
    layers = nn.Conv2d(3, 4, 3), nn.Conv2d(4, classes, 1)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())

def with_background(num_classes):
    head = nn.Linear(4, num_classes + 1)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)

def grey():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
"""  # noqa: E501


@pytest.mark.parametrize(
    ("function", "arguments", "classes", "channels"),
    [
        ("head_first", {"num_classes": 5}, 5, 3),
        ("convolution", {"classes": 6}, 6, 3),
        ("with_background", {"num_classes": 3}, 4, 3),
        ("grey", {}, 2, 1),
    ],
)
def test_classes_and_channels_are_those_of_a_forward_pass(
    function, arguments, classes, channels, tmp_path
):
    (tmp_path / "mine.py").write_text(UNUSUAL)
    spec = f"{tmp_path}/mine.py:{function}"
    network = user_code.load_function(spec, "model")(**arguments)
    state = dict(sorted(network.state_dict().items()))  # by name, as safetensors have them
    result = loaded(saved(state, tmp_path), spec)
    assert (result.classes, result.channels) == (classes, channels)
    assert same_output(result.network, network, X[:, :channels])


@pytest.mark.parametrize("auxiliary", [False, True])
@pytest.mark.parametrize("name", ["googlenet"])
def test_auxiliary_heads_may_be_missing(name, auxiliary, tmp_path):
    network = torchvision.models.get_model(
        name, num_classes=4, aux_logits=auxiliary, init_weights=False
    )
    result = loaded(saved(network.state_dict(), tmp_path), f"torchvision:{name}", size=64)
    assert result.classes == 4
    assert same_output(result.network, network, torch.rand(1, 3, 64, 64))


@pytest.mark.parametrize(
    ("spec", "network", "size", "channels"),
    [
        ("torchvision:squeezenet1_1", torchvision.models.squeezenet1_1, 64, 3),
        ("timm:resnet10t", lambda **k: timm.create_model("resnet10t", **k), 64, 3),
        (
            "timm:mobilenetv3_small_050",
            lambda **k: timm.create_model("mobilenetv3_small_050", in_chans=1, **k),
            64,
            1,
        ),
        (
            "timm:vit_tiny_patch16_224",
            lambda **k: timm.create_model("vit_tiny_patch16_224", img_size=32, **k),
            32,
            3,
        ),
    ],
)
def test_networks_of_torchvision_and_timm_get_the_sizes_of_their_weights(
    spec, network, size, channels, tmp_path
):
    torch.manual_seed(0)
    model = network(num_classes=7)
    result = loaded(saved(model.state_dict(), tmp_path), spec, size=size)
    assert (result.classes, result.channels) == (7, channels)
    assert same_output(result.network, model, torch.rand(1, channels, size, size))


def test_a_network_without_a_checkpoint_is_newly_initialized():
    torch.manual_seed(0)
    network = comparison.load_network("torchvision:squeezenet1_1")
    x = torch.rand(1, 3, 64, 64)
    assert network(x).shape == (1, 1000) and not network.training
    assert not same_output(network, comparison.load_network("torchvision:squeezenet1_1"), x)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("timm:resnet19", "unknown timm network 'resnet19': did you mean resnet"),
        ("torchvision:resnet19", "unknown torchvision classifier 'resnet19': did you mean resnet"),
        ("timm:resnet18.mine", "timm:resnet18.mine cannot build a network .*mine"),
    ],
)
def test_unknown_networks_are_refused_with_similar_names(spec, message):
    with pytest.raises(ValueError, match=message):
        find_constructor(spec).create({})


def test_timm_is_optional(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(
        ImportError, match=r"timm:resnet18 needs the package timm, .*pruncam\[timm\]"
    ):
        find_constructor("timm:resnet18")


# ---------------------------------------------------------------- code of the user


def run(tmp_path, code, name="network"):
    (tmp_path / "mine.py").write_text(code)
    return user_code.load_function(f"{tmp_path}/mine.py:{name}", "model")


def test_a_function_that_returns_one_network_gives_two(model, tmp_path, monkeypatch):
    (tmp_path / "cached_nets.py").write_text(
        f"import functools\n{CODE}\n@functools.cache\ndef cached(num_classes=5):\n"
        "    return Network(num_classes)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    constructor = find_constructor("cached_nets:cached")
    first = saved(model.state_dict(), tmp_path)
    baseline = build(constructor, checkpoints.read(first), (12, 12)).network
    pruned = build(constructor, checkpoints.read(saved(doubled(model), tmp_path)), (12, 12)).network
    assert same_output(baseline, model)
    assert torch.equal(pruned.head.weight, 2 * baseline.head.weight)


def test_a_network_in_a_wrapper_is_unwrapped(model, spec, tmp_path):
    code = CODE.replace("return Network(", "return nn.DataParallel(Network(") + "\n"
    code = code.replace("Network(num_classes)", "Network(num_classes))")
    (tmp_path / "mine.py").write_text(code)
    file = saved(nn.DataParallel(model).state_dict(), tmp_path)
    assert same_output(loaded(file, f"{tmp_path}/mine.py:network").network, model)


def test_a_file_may_define_dataclasses_with_future_annotations(tmp_path):
    code = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass Sizes:\n    width: int = 3\ndef network():\n    return Sizes()\n"
    )
    assert run(tmp_path, code)().width == 3


def test_a_file_may_import_the_modules_beside_it(tmp_path):
    (tmp_path / "beside_at_once.py").write_text("WIDTH = 5\n")
    (tmp_path / "beside_later.py").write_text("WIDTH = 7\n")
    code = (
        "import beside_at_once\ndef network():\n    import beside_later\n"
        "    return beside_at_once.WIDTH, beside_later.WIDTH\n"
    )
    assert run(tmp_path, code)() == (5, 7)


def test_a_module_beside_the_file_is_not_confused_with_another(tmp_path, monkeypatch):
    for folder, width in (("one", 1), ("two", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same_name.py").write_text(f"WIDTH = {width}\n")
    code = "import same_name\ndef network():\n    return same_name.WIDTH\n"
    assert run(tmp_path / "one", code)() == 1
    with pytest.raises(ValueError, match="imports same_name from its folder, but .*one.same_name"):
        run(tmp_path / "two", code)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sys\nsys.exit(1)\n", "mine.py exits when it is imported: put what runs"),
        ("import nowhere_at_all\n", "mine.py cannot be imported .ModuleNotFoundError"),
        ("def network(:\n", "mine.py cannot be imported .SyntaxError"),
        ("x = 1\n", "mine.py has no function 'network'"),
    ],
)
def test_a_file_that_fails_gets_one_sentence(code, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        run(tmp_path, code)
    assert not [name for name in sys.modules if name == "pruncam_user_mine"] or "x = 1" in code


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise KeyError('depth')", "cannot build a network .KeyError: 'depth'"),
        ("raise SystemExit(2)", "cannot build a network .SystemExit: 2"),
        ("return 3", "must return a torch.nn.Module, got int"),
        ("return nn.LazyLinear(3)", "has lazy layers, whose sizes are unknown: run the network"),
    ],
)
def test_a_function_that_gives_no_network_gets_one_sentence(body, message, tmp_path):
    (tmp_path / "mine.py").write_text(f"from torch import nn\ndef network():\n    {body}\n")
    with pytest.raises(ValueError, match=message):
        find_constructor(f"{tmp_path}/mine.py:network").create({})


@pytest.mark.parametrize("error", ["TypeError('no')", "KeyError('no')", "RuntimeError('no')"])
def test_a_forward_pass_that_fails_gets_one_sentence(error, model, tmp_path):
    code = CODE.replace("return self.head", f"raise {error}\n        return self.head")
    (tmp_path / "mine.py").write_text(code)
    file = saved(model.state_dict(), tmp_path)
    message = r"a.pt does not fit .*cannot take images of shape \(3, 12, 12\): '?no"
    with pytest.raises(ValueError, match=message):
        loaded(file, f"{tmp_path}/mine.py:network")


# ---------------------------------------------------------------- preprocessing


def published(weights):
    """Return a checkpoint with the name and the start of the SHA-256 of published weights."""
    name = weights.url.rpartition("/")[2]
    digits = name.rpartition("-")[2].removesuffix(".pth")
    return checkpoints.Checkpoint(name, 0, digits + "0" * 56, "", {})


def photograph():
    y, x = np.mgrid[:300, :401]
    return Image.fromarray(np.stack([x % 256, y % 256, (x * y) % 256], axis=-1).astype(np.uint8))


def prepared(known):
    decoder = Decoder(
        size=known.size, shorter_side=known.shorter_side, interpolation=known.interpolation
    )
    content = photograph()
    pixels = torch.from_numpy(np.array(decoder._resize_and_crop(content))).permute(2, 0, 1)
    return Settings().normalisation(3, known)(pixels[None] / 255)[0]


@pytest.mark.parametrize(
    "weights",
    [
        torchvision.models.ResNet50_Weights.IMAGENET1K_V1,
        torchvision.models.ResNet50_Weights.IMAGENET1K_V2,
        torchvision.models.ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1,
    ],
    ids=str,
)
def test_published_weights_get_the_transforms_of_torchvision(weights):
    name = weights.url.rpartition("/")[2].partition("-")[0].removesuffix("_swag")
    known = preprocessing.of_torchvision(name, published(weights))
    assert known.exact and str(weights) in known.origin
    expected = weights.transforms()(photograph())
    assert prepared(known).shape == expected.shape
    assert torch.allclose(prepared(known), expected, atol=1e-5)


def test_a_damaged_file_with_the_name_of_published_weights_is_refused():
    file = published(torchvision.models.ResNet18_Weights.IMAGENET1K_V1)
    damaged = checkpoints.Checkpoint(file.name, 0, "0" * 64, "", {})
    with pytest.raises(ValueError, match="resnet18-f37072fd.pth is damaged: .* download it again"):
        preprocessing.of_torchvision("resnet18", damaged)


@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224"])
def test_networks_of_timm_get_its_transforms(name):
    network = timm.create_model(name, num_classes=3)
    known = preprocessing.of_network(network)
    config = timm.data.resolve_model_data_config(network)
    expected = timm.data.create_transform(**config, is_training=False)(photograph())
    assert not known.exact
    assert torch.allclose(prepared(known), expected, atol=1e-5)


def test_a_googlenet_of_pretrained_weights_normalises_as_torchvisions_does():
    weights = torchvision.models.GoogLeNet_Weights.IMAGENET1K_V1
    known = preprocessing.of_torchvision("googlenet", published(weights))
    network = torchvision.models.GoogLeNet(transform_input=True, init_weights=False)
    expected = network._transform_input(weights.transforms()(photograph())[None])[0]
    assert torch.allclose(prepared(known), expected, atol=1e-5)
    assert preprocessing.of_torchvision("googlenet") is None  # made from scratch, or not?


def test_a_network_in_memory_is_prepared_as_its_library_does(model):
    resnet = torchvision.models.resnet18(num_classes=2)
    for network in (resnet, nn.DataParallel(resnet)):
        assert preprocessing.of_network(network).mean == (0.485, 0.456, 0.406)
    assert preprocessing.of_network(model) is None
    assert preprocessing.of_network(torchvision.models.efficientnet_b0(num_classes=2)) is None


# ---------------------------------------------------------------- pairs


def test_one_network_under_two_names_is_refused(model):
    images = comparison_images()
    for pruned in (model, nn.DataParallel(model)):
        with pytest.raises(ValueError, match=r"are one network .* \(copy.deepcopy\)"):
            comparison.Pair(model, pruned, images)
    assert comparison.Pair(model, copy.deepcopy(model), images)


def comparison_images():
    from pruncam.datasets import ImageSet

    pixels = torch.zeros(2, 3, 12, 12, dtype=torch.uint8)
    return ImageSet("two", "test", pixels, torch.tensor([0, 1]), tuple("abcde"), "generated")


def test_a_checkpoint_and_its_origin_are_described(model, spec, tmp_path):
    (tmp_path / "images").mkdir()
    for number in range(5):
        (tmp_path / "images" / str(number)).mkdir()
        Image.new("RGB", (12, 12)).save(tmp_path / "images" / str(number) / "0.png")
    torch.save({"state_dict": renamed(model, "model.")}, tmp_path / "a.pt")
    safetensors.torch.save_file(doubled(model), tmp_path / "b.safetensors")
    pair = comparison.load(
        Files(tmp_path / "a.pt", tmp_path / "b.safetensors", spec, tmp_path / "images")
    )
    first, second = pair.origin["checkpoints"]
    assert first["weights"] == "state_dict.model" and "CRC-32" in first["verified"]
    assert second["verified"].startswith("not verified")
    assert first["sha256"] == hashlib.sha256((tmp_path / "a.pt").read_bytes()).hexdigest()
    assert pair.origin["model"] == "mine.py:network" and pair.origin["resizing"] == "none"
