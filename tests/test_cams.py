"""Heatmaps against the pytorch-grad-cam library and maps by hand, and side effects of a call."""

import collections
import copy
import dataclasses
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch
import torchvision
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.utils import prune
from torchvision.models.vgg import make_layers

from benchmarks._networks import NarrowResNet18
from pruncam import cams
from pruncam.cams import model_explainer, rectified_tail, reference
from pruncam.cams.model_split import HookedModel, TracedModel, split_model
from pruncam.cams.postprocess import to_heatmaps
from pruncam.cams.registry import CamMethod
from pruncam.cams.target_layer import find_target_layer
from pruncam.networks import mnist_net

GRADIENT_METHODS = tuple(name for name in cams.METHODS if cams.METHODS[name].needs_gradients)
ABLATION_METHODS = tuple(name for name in cams.METHODS if cams.METHODS[name].reruns_head)
LIBRARY_METHODS = tuple(name for name in cams.METHODS if cams.METHODS[name].reference)
ENGINE_METHODS = [("fast", name) for name in cams.METHODS]
ENGINE_METHODS += [("grad-cam", name) for name in LIBRARY_METHODS]
TOLERANCE = 1e-4  # largest difference from the library in any pixel


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def digits(size, channels=1):
    """Return scikit-learn's handwritten digits, enlarged: images in [0, 1] and labels."""
    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32)[:, None] / 16
    images = nn.functional.interpolate(images, size=(size, size), mode="bilinear")
    return images.expand(-1, channels, -1, -1).contiguous(), torch.tensor(data.target)


def train(model, images, labels, epochs):
    """Train for a few epochs with Adam; an untrained model would compare noise with noise."""
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    model.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        assert (model(images).argmax(1) == labels).float().mean() > 0.8
    return model


def small_vgg():
    """Return a small VGG for 32x32 images, with one FC layer.

    BatchNorm and in-place ReLU in nested Sequentials.
    """
    layers, width = [], 1
    for new in (8, 16, 24):
        layers += [
            nn.Conv2d(width, new, 3, padding=1),
            nn.BatchNorm2d(new),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
        ]
        width = new
    return nn.Sequential(
        nn.Sequential(*layers), nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Linear(24 * 16, 10))
    )


def vgg11():
    """Return torchvision's VGG11 at quarter width.

    In-place ReLU directly after each convolution, three FC layers.
    """
    with torch.device("meta"):  # its layers are replaced, so they need no memory
        model = torchvision.models.vgg11(weights=None, init_weights=False)
    model.features = make_layers([16, "M", 32, "M", 64, 64, "M", 128, 128, "M", 128, 128, "M"])
    model.avgpool = nn.AdaptiveAvgPool2d(2)
    hidden = [
        nn.Linear(512, 64),
        nn.ReLU(True),
        nn.Dropout(),
        nn.Linear(64, 32),
        nn.ReLU(True),
        nn.Linear(32, 10),
    ]
    model.classifier = nn.Sequential(*hidden)
    for module in model.features:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    return model.eval()


def resnet18():
    """Return a narrow ResNet-18, BatchNorm weights of both signs, estimated statistics."""
    model = NarrowResNet18(10)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 0.7, 0.6)
            nn.init.normal_(module.bias, 0, 0.3)
    model.train()
    with torch.no_grad():
        for _ in range(5):
            model(torch.randn(16, 3, 48, 48))
    return model.eval()


@pytest.fixture(scope="session")
def networks():
    """Name -> (network, images)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        small, labels = digits(28)
        large, _ = digits(32)
        colour = digits(64, channels=3)[0][:6]
        pruned_by_masks = train(mnist_net(), small, labels, 6)
        for module in pruned_by_masks.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                prune.l1_unstructured(module, "weight", amount=0.6)
        return {
            "mnist": (train(mnist_net(), small, labels, 6), small[:40]),
            "masked": (pruned_by_masks, small[:40]),
            "small_vgg": (train(small_vgg(), large, labels, 2), large[:24]),
            "vgg11": (vgg11(), colour + 0.2 * torch.randn(colour.shape)),
            "resnet18": (resnet18(), torch.randn(6, 3, 48, 48)),
        }


LAST_CONVOLUTIONS = {
    "mnist": "conv2",
    "small_vgg": "0.8",
    "vgg11": "features.18",
    "resnet18": "layer4.1.conv2",
}
TARGET_LAYERS = [
    *[("mnist", layer) for layer in ("conv2", "relu2", "conv1", "relu1")],
    *[("masked", layer) for layer in ("conv2", "relu2", "conv1")],
    *[("small_vgg", layer) for layer in ("0.8", "0.9", "0.10", "0.11", "0", "0.4", "0.5")],
    ("vgg11", "avgpool"),
    *[
        ("vgg11", layer)
        for layer in ("features.18", "features.19", "features.16", "features.17", "features")
    ],
    ("resnet18", "layer3.0.relu"),
    *[
        ("resnet18", layer)
        for layer in ("layer4.1.conv2", "layer4", "layer4.1.bn2", "layer2.0.downsample.0")
    ],
]


@pytest.mark.parametrize("method", GRADIENT_METHODS)
@pytest.mark.parametrize(("network", "layer"), TARGET_LAYERS)
def test_maps_equal_the_library(networks, network, layer, method):
    model, images = networks[network]
    ours = cams.heatmaps(model, images, method=method, target_layer=layer)
    library = cams.heatmaps(model, images, method=method, target_layer=layer, engine="grad-cam")
    assert ours.shape == library.shape == images[:, 0].shape
    assert ours.dtype == library.dtype == torch.float32
    assert ours.flatten(1).amax(1).gt(0.9).float().mean() > 0.1, (
        "all-zero maps would agree whatever the method"
    )
    assert ours.min() >= 0
    assert ours.max() <= 1
    assert (ours - library).abs().max() < TOLERANCE


@pytest.mark.parametrize("method", GRADIENT_METHODS)
@pytest.mark.parametrize("network", ["mnist", "small_vgg", "resnet18"])
def test_maps_of_given_classes_equal_the_library(networks, network, method):
    model, images = networks[network]
    options = {"method": method, "target_layer": LAST_CONVOLUTIONS[network]}
    targets = torch.arange(len(images)) % 10
    ours = cams.heatmaps(model, images, targets=targets, **options)
    library = cams.heatmaps(model, images, targets=targets, engine="grad-cam", **options)
    top_class = cams.heatmaps(model, images, **options)
    assert (ours - library).abs().max() < TOLERANCE
    assert (ours - top_class).abs().max() > 0.1, "the class must matter"


ABLATED_LAYERS = [
    *[("mnist", layer, 24) for layer in ("conv2", "relu2", "conv1", "relu1")],
    *[("masked", layer, 24) for layer in ("conv2", "relu2", "conv1")],
    *[("small_vgg", layer, 12) for layer in ("0.8", "0.9", "0.10", "0.11", "0", "0.4", "0.5")],
    *[("vgg11", f"features.{number}", 3) for number in (16, 17, 18, 19)],
    *[("resnet18", layer, 2) for layer in ("layer4.1.conv2", "layer4")],
]


@pytest.mark.parametrize("method", ABLATION_METHODS)
@pytest.mark.parametrize(("network", "layer", "count"), ABLATED_LAYERS)
def test_ablation_maps_equal_the_library(networks, network, layer, count, method):
    model, images = networks[network]
    options = {"images": images[:count], "method": method, "target_layer": layer}
    ours = cams.heatmaps(model, **options)
    library = cams.heatmaps(model, **options, engine="grad-cam")
    assert ours.flatten(1).amax(1).gt(0.9).float().mean() >= 0.5
    assert ours.min() >= 0
    assert ours.max() <= 1
    if (ours - library).abs().max() >= TOLERANCE:
        # Without AVX both round more. In float64 the library does not.
        options["images"] = options["images"].double()
        library = cams.heatmaps(copy.deepcopy(model).double(), **options, engine="grad-cam")
    assert (ours - library).abs().max() < TOLERANCE


@pytest.mark.parametrize("method", ABLATION_METHODS)
@pytest.mark.parametrize("network", ["mnist", "vgg11"])
def test_ablation_maps_of_given_classes_equal_the_library(networks, network, method):
    model, images = networks[network][0], networks[network][1][:3]
    options = {"method": method, "target_layer": LAST_CONVOLUTIONS[network]}
    # Not the classes of the digits: mostly negative logits, which turn the weights round.
    targets = torch.arange(len(images)) + 1
    ours = cams.heatmaps(model, images, targets=targets, **options)
    library = cams.heatmaps(model, images, targets=targets, engine="grad-cam", **options)
    assert (ours - library).abs().max() < TOLERANCE
    assert (ours - cams.heatmaps(model, images, **options)).abs().max() > 0.1


@pytest.mark.parametrize("method", ["grad-cam", "grad-cam++"])
def test_the_library_engine_is_the_library_called_by_hand(networks, method):
    from pytorch_grad_cam import GradCAM, GradCAMPlusPlus

    model, images = networks["mnist"]  # no in-place layer: nothing has to be shielded
    library = {"grad-cam": GradCAM, "grad-cam++": GradCAMPlusPlus}[method]
    with library(model=copy.deepcopy(model), target_layers=[]) as cam:
        cam.target_layers = [cam.model.conv2]
        cam.activations_and_grads.release()
        cam.activations_and_grads.__init__(cam.model, cam.target_layers, None)
        expected = torch.from_numpy(cam(input_tensor=images, targets=None))
    maps = cams.heatmaps(model, images, method=method, target_layer="conv2", engine="grad-cam")
    assert torch.equal(maps, expected)


@pytest.mark.parametrize(("engine", "method"), ENGINE_METHODS)
def test_an_in_place_relu_after_the_target_changes_nothing(networks, method, engine):
    model, images = networks["vgg11"][0], networks["vgg11"][1][:2]
    out_of_place = copy.deepcopy(model)
    for module in out_of_place.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    options = {"method": method, "target_layer": "features.18", "engine": engine}
    ours = cams.heatmaps(model, images, **options)
    expected = cams.heatmaps(out_of_place, images, **options)
    assert torch.equal(ours, expected)


def test_a_layer_applied_twice_is_read_at_its_first_use(networks):
    conv, relu = nn.Conv2d(1, 4, 3), nn.ReLU()
    model = nn.Sequential(
        conv, relu, nn.Conv2d(4, 4, 3), relu, nn.Flatten(), nn.Linear(4 * 24 * 24, 10)
    )
    images = networks["mnist"][1]
    ours = cams.heatmaps(model, images, method="grad-cam", target_layer=relu)
    library = cams.heatmaps(model, images, method="grad-cam", target_layer=relu, engine="grad-cam")
    assert (ours - library).abs().max() < TOLERANCE


# ------------------------------------------------------------------------------------- maps by hand


def set_weights(model, *values):
    for parameter, value in zip(model.parameters(), values, strict=True):
        parameter.data = torch.tensor(value, dtype=torch.float32).reshape(parameter.shape)
    return model


@pytest.mark.parametrize("engine", cams.ENGINES)
def test_grad_cam_of_one_convolution_by_hand(engine):
    # Channels x and 1 - x; gradients all 1 (mean 1) and -1, -1, -1, -3 (mean -1.5):
    # relu(x - 1.5 (1 - x)).
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(8, 1))
    set_weights(model, [1, -1], [0, 1], [1, 1, 1, 1, -1, -1, -1, -3], [0])
    images = torch.tensor([[[[0.0, 0.6], [0.8, 1.0]]]])
    maps = cams.heatmaps(model, images, method="grad-cam", engine=engine)
    torch.testing.assert_close(maps, torch.tensor([[[0.0, 0.0], [0.5, 1.0]]]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("engine", cams.ENGINES)
def test_grad_cam_plusplus_of_one_convolution_by_hand(engine):
    # Channels are those of the image.
    # First: activations sum to 1, gradients all 1: alpha = 1 / (2 + 1), weight 4/3.
    # Second: sum 1, gradients 2, 0, 0, -5: alpha = 4 / (8 + 8) where positive, weight 1/2.
    model = nn.Sequential(nn.Conv2d(2, 2, 1), nn.Flatten(), nn.Linear(8, 1))
    set_weights(model, [1, 0, 0, 1], [0, 0], [1, 1, 1, 1, 2, 0, 0, -5], [0])
    images = torch.tensor([[[[0.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]]]])
    maps = cams.heatmaps(model, images, method="grad-cam++", engine=engine)
    torch.testing.assert_close(maps, torch.tensor([[[0.0, 1.0], [0.375, 0.0]]]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("engine", cams.ENGINES)
def test_hires_cam_and_layer_cam_by_hand(engine):
    # Channels are those of the image, gradients 1, 1, 1, 1 and 2, 0, 0, -5.
    # HiResCAM: 0 + 2, 1 + 0, 0 + 0, 0 - 5; LayerCAM leaves the negative gradient out.
    model = nn.Sequential(nn.Conv2d(2, 2, 1), nn.Flatten(), nn.Linear(8, 1))
    set_weights(model, [1, 0, 0, 1], [0, 0], [1, 1, 1, 1, 2, 0, 0, -5], [0])
    images = torch.tensor([[[[0.0, 1.0], [0.0, 2.0]], [[1.0, 0.0], [1.0, 1.0]]]])
    for method, expected in (
        ("hires-cam", [[1.0, 0.5], [0.0, 0.0]]),
        ("layer-cam", [[1.0, 0.5], [0.0, 1.0]]),
    ):
        maps = cams.heatmaps(model, images, method=method, engine=engine)
        torch.testing.assert_close(maps, torch.tensor([expected]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("engine", cams.ENGINES)
def test_ablation_cam_after_a_relu_by_hand(engine):
    # The smallest activation is 0. The logit of 1.5 loses 1 without channel 1, and 0.5 without
    # channel 2.
    model = nn.Sequential(nn.Conv2d(2, 2, 1), nn.Flatten(), nn.Linear(8, 1))
    set_weights(model, [1, 0, 0, 1], [0, 0], [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5], [0])
    images = torch.tensor([[[[0.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]]]])
    expected = torch.tensor([[[0.0, 1.0], [0.5, 0.0]]])
    for method in ("ablation-cam", "ablation-cam-zero"):
        maps = cams.heatmaps(model, images, method=method, engine=engine)
        torch.testing.assert_close(maps, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("engine", cams.ENGINES)
def test_ablation_cam_without_a_zero_by_hand(engine):
    # The smallest activation is 1. The library sets channel 1 to 1 - 1e7 and channel 2 to 1 - 2e7:
    # the second drop is twice the first, so the map is channel 1 + 2 channel 2. With zeros both
    # drops are 6: channel 1 + channel 2.
    model = nn.Sequential(nn.Conv2d(2, 2, 1), nn.Flatten(), nn.Linear(8, 1))
    set_weights(model, [1, 0, 0, 1], [0, 0], [1] * 8, [0])
    images = torch.tensor([[[[1.0, 3.0], [1.0, 1.0]], [[1.0, 1.0], [3.0, 1.0]]]])
    for method, expected in (
        ("ablation-cam", [[0, 0.5], [1, 0]]),
        ("ablation-cam-zero", [[0.0, 1], [1, 0]]),
    ):
        maps = cams.heatmaps(model, images, method=method, engine=engine)
        torch.testing.assert_close(maps, torch.tensor([expected]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("tail", [(), (nn.ReLU(), nn.Linear(1, 1))])
@pytest.mark.parametrize("method", ABLATION_METHODS)
def test_a_logit_of_zero_has_no_relative_drop_and_an_all_zero_map(method, tail):
    model = nn.Sequential(nn.Conv2d(2, 2, 1), nn.Flatten(), nn.Linear(8, 1), *tail)
    set_weights(
        model,
        [1, 0, 0, 1],
        [0, 0],
        [1, 1, 1, 1, -1, -1, -1, -1],
        [0],
        *([[1], [0]] if tail else []),
    )
    images = torch.tensor([[[[0.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]]]])
    assert torch.equal(cams.heatmaps(model, images, method=method), torch.zeros(1, 2, 2))


@pytest.mark.parametrize("engine", cams.ENGINES)
def test_a_map_is_resized_between_half_pixel_centres(engine):
    # A 1x2 activation (0, 1) becomes 0, 1/4, 3/4, 1 in four columns: OpenCV's bilinear rule.
    model = nn.Sequential(nn.Conv2d(1, 1, 2, stride=2), nn.Flatten(), nn.Linear(2, 1))
    set_weights(model, [1, 0, 0, 0], [0], [1, 1], [0])
    images = torch.tensor([[[[0.0, 9.0, 1.0, 9.0], [9.0, 9.0, 9.0, 9.0]]]])
    maps = cams.heatmaps(model, images, method="grad-cam", engine=engine)
    torch.testing.assert_close(maps, torch.tensor([[[0, 0.25, 0.75, 1]] * 2]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [(5, 9), (28, 28), (33, 7), (64, 64)])
def test_resize_equals_opencv(size):
    cv2 = pytest.importorskip("cv2")
    from pruncam.cams.postprocess import _resize

    maps = torch.rand(3, 11, 14, generator=torch.Generator().manual_seed(0))
    expected = torch.stack([torch.from_numpy(cv2.resize(m.numpy(), size[::-1])) for m in maps])
    torch.testing.assert_close(_resize(maps, size), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("engine", "method"), ENGINE_METHODS)
@pytest.mark.parametrize(
    "case", ["constant activation", "no positive evidence", "all channels dead"]
)
def test_a_map_without_contrast_is_all_zero(case, method, engine):
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3)
    )
    images = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    if case == "constant activation":
        nn.init.zeros_(model[0].weight)
        nn.init.ones_(model[0].bias)
    if case == "no positive evidence":
        nn.init.ones_(model[0].weight)
        nn.init.constant_(model[-1].weight, -1.0)
        nn.init.constant_(
            model[-1].bias, 100.0
        )  # the logit stays positive: Ablation-CAM divides by it
    if case == "all channels dead":
        nn.init.zeros_(model[0].weight)
        nn.init.zeros_(model[0].bias)
    maps = cams.heatmaps(model, images, method=method, target_layer="0", engine=engine)
    assert torch.equal(maps, torch.zeros_like(images[:, 0]))


def test_dead_channels_leave_the_maps_of_the_living_ones(networks):
    model, images = networks["mnist"]
    model = copy.deepcopy(model)
    with torch.no_grad():
        model.conv2.weight[::2], model.conv2.bias[::2] = 0, 0
    for method in LIBRARY_METHODS:
        ours = cams.heatmaps(model, images, method=method)
        library = cams.heatmaps(model, images, method=method, engine="grad-cam")
        assert ours.max() > 0.9
        assert (ours - library).abs().max() < TOLERANCE


# ------------------------------------------------------------------------------------- the registry


def test_the_methods_are_listed_by_name_with_title_and_colour():
    for name, method in cams.METHODS.items():
        assert method.name == name and method.title
        assert re.fullmatch("#[0-9A-F]{6}", method.colour)
    assert set(cams.DEFAULT_METHODS) <= set(cams.METHODS)
    colours = [method.colour for method in cams.METHODS.values()]
    assert len(set(colours)) == len(colours)


def xgrad_cam_weights(layer):
    """Return a weight per channel: the gradients' mean, weighted by activation (Fu et al. 2020)."""
    sums = layer.activations.sum(dim=(2, 3))
    return (layer.gradients * layer.activations).sum(dim=(2, 3)) / (sums + 1e-7)


@pytest.fixture
def xgrad_cam(monkeypatch):
    """A new method: one function and one entry."""
    method = CamMethod(
        name="xgrad-cam",
        title="XGrad-CAM",
        colour="#E69F00",
        weights=xgrad_cam_weights,
        needs_gradients=True,
        reference=partial(reference.library_method, "XGradCAM"),
    )
    monkeypatch.setitem(cams.METHODS, method.name, method)
    return method


@pytest.mark.parametrize("network", ["mnist", "resnet18"])
def test_a_new_method_is_one_function_and_one_entry(networks, network, xgrad_cam):
    model, images = networks[network]
    maps = cams.heatmaps(model, images, method="xgrad-cam")
    library = cams.heatmaps(model, images, method="xgrad-cam", engine="grad-cam")
    assert (maps - library).abs().max() < TOLERANCE
    explanation = cams.explain(model, images, methods=["xgrad-cam", "grad-cam"])
    assert torch.equal(explanation.maps["xgrad-cam"], maps)


def test_a_method_that_the_library_lacks_needs_the_fast_engine(networks, xgrad_cam, monkeypatch):
    model, images = networks["mnist"]
    method = dataclasses.replace(xgrad_cam, reference=None)
    monkeypatch.setitem(cams.METHODS, method.name, method)
    assert cams.heatmaps(model, images, method="xgrad-cam").max() > 0.9
    with pytest.raises(ValueError, match="does not have 'xgrad-cam': use engine='fast'"):
        cams.heatmaps(model, images, method="xgrad-cam", engine="grad-cam")


# ----------------------------------------------------------------------------------------- one pass


def test_explain_gives_maps_logits_and_classes_of_one_pass(networks):
    model, images = networks["small_vgg"]
    result = cams.explain(model, images, methods=cams.METHODS)
    with torch.no_grad():
        logits = model(images)
    torch.testing.assert_close(result.logits, logits, atol=1e-5, rtol=0)
    assert torch.equal(result.targets, logits.argmax(1))
    assert not result.logits.requires_grad
    for method in cams.METHODS:
        torch.testing.assert_close(
            result.maps[method], cams.heatmaps(model, images, method=method), atol=TOLERANCE, rtol=0
        )


@pytest.mark.parametrize(
    ("methods", "passes"),
    [
        (GRADIENT_METHODS, [1, 16, 16, 8]),  # one image to learn the shapes, then all 40
        (
            cams.METHODS,
            [1, 1, 1, 16, 16, 8],
        ),  # and two to see that the graphs do the same as the model
    ],
)
def test_explain_passes_the_images_through_the_stem_once(networks, methods, passes):
    model, images = networks["mnist"]
    seen = []
    handle = model.conv1.register_forward_hook(
        lambda module, inputs, output: seen.append(len(output))
    )
    cams.explain(model, images, methods=methods, batch_size=16)
    handle.remove()
    assert seen == passes


# ----------------------------------------------------------------------------- ways to rerun a head


class Uses(nn.Module):
    """A model whose forward pass is a function of the model and the images."""

    def __init__(self, function):
        super().__init__()
        self.conv, self.spare, self.fc = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3), nn.Linear(2, 10)
        self.function = function

    def forward(self, images):
        return self.function(self, images)


def head(model, features):
    return model.fc(features.mean((2, 3)))


def in_a_residual_block(model, images):
    skip = model.conv(images).relu_()
    out = model.spare(skip)
    skip = skip[:, :, 1:-1, 1:-1]
    skip += out  # in place on what the head needs again
    return head(model, skip.relu_())


def by_the_data(model, images):
    out = model.conv(images)
    return head(model, out.relu() if out.sum() > 0 else out)


def with_rows_counted_before(model, images):
    rows = images.shape[0]
    return model.fc(nn.functional.adaptive_avg_pool2d(model.conv(images).relu(), 1).view(rows, 2))


def with_a_constant_and_a_store(model, images):
    model.stored = model.conv(images) + torch.tensor([0.5])
    return head(model, model.stored.relu())


def with_mixed_channels(model, images):
    return head(model, model.conv(images).relu().flip(1))


def with_means_of_single_axes(model, images):
    return model.fc(model.conv(images).relu().mean(3).mean(2))


def with_a_view(model, images):
    out = nn.functional.adaptive_avg_pool2d(model.conv(images).relu(), 1)
    return torch.log_softmax(model.fc(out.view(out.size(0), -1)), dim=1)


@pytest.mark.parametrize("method", ABLATION_METHODS)
@pytest.mark.parametrize(
    ("function", "layer", "way"),
    [
        (lambda m, x: head(m, m.conv(x).relu()), "conv", "closed form"),
        (with_a_view, "conv", "closed form and tail"),
        (with_a_constant_and_a_store, "conv", "closed form"),
        (in_a_residual_block, "spare", "closed form"),
        (with_mixed_channels, "conv", "head"),
        (with_means_of_single_axes, "conv", "head"),
        (lambda m, x: head(m, m.spare(m.conv(x).relu())), "conv", "closed form and tail"),
        (by_the_data, "conv", "model"),
        (with_rows_counted_before, "conv", "model"),
    ],
)
def test_every_way_to_rerun_a_head_equals_the_library(function, layer, way, method):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = Uses(function).eval()
        images = torch.randn(8, 1, 28, 28)
    attributes = set(vars(model))
    network = split_model(model, getattr(model, layer), images[:1])
    assert set(vars(model)) - attributes <= {"stored"}
    assert isinstance(getattr(model, "stored", images), torch.Tensor)
    assert isinstance(network, HookedModel if way == "model" else TracedModel)
    assert (network.channelwise is not None) == way.startswith("closed form")
    if network.channelwise is not None:
        assert network.channelwise.ends_with_linear == (way == "closed form")
    ours = cams.heatmaps(model, images, method=method, target_layer=layer)
    library = cams.heatmaps(model, images, method=method, target_layer=layer, engine="grad-cam")
    assert ours.flatten(1).amax(1).gt(0.9).float().mean() > 0.5
    assert (ours - library).abs().max() < TOLERANCE


@pytest.mark.parametrize("network", ["mnist", "small_vgg", "resnet18", "vgg11"])
def test_the_closed_form_gives_what_running_the_whole_model_again_gives(
    networks, network, monkeypatch
):
    few = {"resnet18": 1, "vgg11": 2}  # as many passes as channels for every image
    model, images = networks[network][0], networks[network][1][: few.get(network, 6)]
    name = LAST_CONVOLUTIONS[network]
    layer = find_target_layer(model, images[:1], name).module
    assert split_model(model, layer, images[:1]).channelwise is not None
    expected = cams.explain(model, images, methods=cams.METHODS, target_layer=name)
    monkeypatch.setattr(
        model_explainer, "split_model", lambda model, layer, image: HookedModel(model, layer)
    )
    result = cams.explain(model, images, methods=cams.METHODS, target_layer=name)
    for method in cams.METHODS:
        torch.testing.assert_close(
            result.maps[method], expected.maps[method], atol=TOLERANCE, rtol=0
        )


@pytest.mark.parametrize(
    ("settings", "in_closed_form"),
    [
        ({}, True),
        ({"bias": False, "padding": 1}, True),
        ({"stride": (2, 1), "dilation": (1, 2), "padding": (0, 1)}, True),
        ({"padding": 1, "padding_mode": "circular"}, False),
        ({"padding": "same"}, False),
        ({"groups": 2}, False),
    ],
    ids=str,
)
def test_a_convolution_after_the_target_layer_needs_no_pass_for_every_channel(
    settings, in_closed_form
):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = nn.Sequential(
            nn.Conv2d(3, 6, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3, **settings),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Flatten(),
            nn.LazyLinear(5),
        )
        images = torch.randn(4, 3, 17, 17)
        model(images)  # statistics of BatchNorm
    model = model.double().eval()
    images = images.double()
    network = split_model(model, model[1], images[:1])
    assert (network.channelwise is not None) == in_closed_form
    activations = model[:2](images)
    logits = model(images)
    targets = logits.argmax(1)
    drops = []
    for channel in range(6):
        ablated = activations.clone()
        ablated[:, channel] = 0
        drops.append((logits - model[2:](ablated)).gather(1, targets[:, None])[:, 0])
    weights = torch.stack(drops, dim=1) / logits.gather(1, targets[:, None])
    expected = to_heatmaps(activations, weights, (17, 17))
    maps = cams.heatmaps(model, images, method="ablation-cam-zero", target_layer="1")
    assert expected.flatten(1).amax(1).gt(0.9).all()
    torch.testing.assert_close(maps, expected.float(), atol=1e-6, rtol=0)


RECTIFIED_TAILS = {
    "BatchNorm, maximum": [nn.Conv2d(6, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)],
    "mean of windows": [nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(inplace=True), nn.AvgPool2d((2, 4))],
    "global mean": [nn.Conv2d(6, 8, (3, 2), stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1)],
    "no pool": [nn.Conv2d(6, 8, 3, padding=(2, 1), dilation=2, bias=False), nn.ReLU()],
}


@pytest.mark.parametrize("hook", [None, "pruned", "doubled"])
@pytest.mark.parametrize("tail", RECTIFIED_TAILS)
def test_compiled_ablation_equals_the_library(monkeypatch, tail, hook):
    monkeypatch.setattr(rectified_tail, "_WORTH_COMPILING", 0)
    used = []
    compiled = rectified_tail.RectifiedTail.ablated_logits

    def watched(*arguments):
        logits = compiled(*arguments)
        used.append(logits is not None)
        return logits

    monkeypatch.setattr(rectified_tail.RectifiedTail, "ablated_logits", watched)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        model = nn.Sequential(
            *[nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)],
            *copy.deepcopy(RECTIFIED_TAILS[tail]),
            *[nn.Flatten(), nn.Dropout(), nn.LazyLinear(5)],
        )
        images = torch.randn(5, 3, 16, 16)
        model(images)  # sizes of the FC layer, statistics of BatchNorm
    if hook == "pruned":
        prune.l1_unstructured(model[-1], "weight", amount=0.5)
    elif hook == "doubled":
        model[-1].register_forward_pre_hook(lambda module, inputs: (2 * inputs[0],))
    options = {"method": "ablation-cam", "target_layer": "2"}
    ours = cams.heatmaps(model, images, **options)
    library = cams.heatmaps(model, images, **options, engine="grad-cam")
    assert used == [hook != "doubled"]
    assert library.flatten(1).amax(1).gt(0.9).float().mean() >= 0.5
    assert (ours - library).abs().max() < TOLERANCE


@pytest.mark.parametrize("place", ["", "0", "0.0", "1.2"])
def test_a_users_hook_is_honoured_by_ablation_cam(networks, place):
    model, images = networks["small_vgg"]
    model, images = copy.deepcopy(model), images[:4]
    without = cams.heatmaps(model, images, method="ablation-cam")

    def squared(module, inputs, output):
        return output.square()

    model.get_submodule(place).register_forward_hook(squared)
    ours = cams.heatmaps(model, images, method="ablation-cam")
    library = cams.heatmaps(model, images, method="ablation-cam", engine="grad-cam")
    assert (ours - library).abs().max() < TOLERANCE
    assert (ours - without).abs().max() > 0.01


@pytest.mark.parametrize("method", ["grad-cam", "grad-cam++", "ablation-cam"])
def test_threads_that_share_a_model_do_not_disturb_one_another(networks, method):
    model, images = networks["small_vgg"]
    parts = [images[start : start + 3] for start in (0, 4, 8, 12)]
    layers = ["0.8", "0.9", "0.10", "0.4"]
    tasks = [(part, layer) for part in parts for layer in layers] * 4

    def explain(task):
        part, layer = task
        return cams.heatmaps(model, part, method=method, target_layer=layer)

    alone = [explain(task) for task in tasks]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(explain, tasks))
    finally:
        sys.setswitchinterval(interval)
    assert all(torch.equal(x, y) for x, y in zip(alone, together, strict=True))


# ----------------------------------------------------------------------------------- batches, types


def test_an_explainer_made_once_explains_every_batch(networks):
    model, images = networks["small_vgg"]
    explainer = cams.ModelExplainer(model, images, methods=cams.METHODS)
    whole = cams.explain(model, images, methods=cams.METHODS)
    targets = (whole.targets + 1) % whole.logits.shape[1]
    others = cams.explain(model, images, methods=cams.METHODS, targets=targets)
    for rows in (slice(0, 1), slice(1, 4), slice(0, 4)):
        for expected, classes in ((whole, None), (others, targets[rows])):
            part = explainer.explain(images[rows], classes)
            for method, maps in part.maps.items():
                torch.testing.assert_close(maps, expected.maps[method][rows], rtol=0, atol=1e-5)


def test_an_explainer_takes_images_of_its_first_shape_only(networks):
    model, images = networks["small_vgg"]
    explainer = cams.ModelExplainer(model, images, methods=["grad-cam"])
    with pytest.raises(ValueError, match="images must have the shape .* of the first one"):
        explainer.explain(images[..., 1:])


def test_an_explainer_follows_the_weights_of_its_model(networks):
    model, images = networks["small_vgg"]
    model = copy.deepcopy(model)
    explainer = cams.ModelExplainer(model, images, methods=["grad-cam", "ablation-cam"])
    before = explainer.explain(images)
    with torch.no_grad():
        model[0][0].weight.copy_(model[0][0].weight.flip(0))
    after = explainer.explain(images)
    expected = cams.explain(model, images, methods=list(after.maps))
    assert torch.equal(after.logits, expected.logits)
    for method, maps in after.maps.items():
        assert torch.equal(maps, expected.maps[method])
        assert not torch.allclose(maps, before.maps[method], atol=0.01)


@pytest.mark.parametrize("engine", cams.ENGINES)
@pytest.mark.parametrize("network", ["mnist", "small_vgg"])
def test_the_batch_size_does_not_change_the_maps(networks, network, engine):
    model, images = networks[network]
    for method in GRADIENT_METHODS:
        expected = cams.heatmaps(model, images, method=method, engine=engine)
        for batch_size in (1, 7, 1000):
            maps = cams.heatmaps(model, images, method=method, batch_size=batch_size, engine=engine)
            torch.testing.assert_close(maps, expected, atol=TOLERANCE, rtol=0)


def test_a_batch_too_large_for_the_memory_is_halved(networks, monkeypatch):
    model, images = networks["mnist"]
    expected = cams.heatmaps(model, images, method="grad-cam")
    real, sizes = HookedModel.forward, []

    def forward(self, batch, gradients):
        sizes.append(len(batch))
        if len(batch) > 15:
            raise torch.OutOfMemoryError
        return real(self, batch, gradients)

    monkeypatch.setattr(HookedModel, "forward", forward)
    maps = cams.heatmaps(model, images, method="grad-cam", batch_size=32)
    assert sizes == [32, 16, 8, 8, 8, 8, 8]
    torch.testing.assert_close(maps, expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("method", LIBRARY_METHODS)
def test_a_float64_model_gives_float32_maps_equal_to_the_library(networks, method):
    model, images = networks["mnist"]
    model = copy.deepcopy(model).double()
    ours = cams.heatmaps(model, images, method=method)
    library = cams.heatmaps(model, images.double(), method=method, engine="grad-cam")
    assert ours.dtype == torch.float32
    assert (ours - library).abs().max() < 1e-5


@pytest.mark.parametrize("method", cams.METHODS)
def test_a_bfloat16_model_gives_the_maps_of_its_rounded_numbers(networks, method):
    model, images = networks["mnist"]
    maps = cams.heatmaps(copy.deepcopy(model).bfloat16(), images, method=method)
    assert maps.dtype == torch.float32
    assert (maps - cams.heatmaps(model, images, method=method)).abs().mean() < 0.05


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", GRADIENT_METHODS)
def test_a_half_precision_model_has_the_maps_of_the_library(networks, method, dtype):
    model, images = networks["small_vgg"]
    model = copy.deepcopy(model).to(dtype)
    ours = cams.heatmaps(model, images, method=method)
    library = cams.heatmaps(model, images, method=method, engine="grad-cam")
    assert ours.amax() > 0.9
    assert (ours - library).abs().max() < TOLERANCE


# ------------------------------------------------------------------------- models in any condition


CONDITIONS = {
    "compiled": lambda model: torch.compile(model, backend="eager"),
    "compiled in place": lambda model: model.compile(backend="eager") or model,
    "compiled in part": lambda model: with_compiled_part(model),
    "data parallel": nn.DataParallel,
    "data parallel, compiled": lambda model: torch.compile(nn.DataParallel(model), backend="eager"),
    "channels last": lambda model: model.to(memory_format=torch.channels_last),
    "frozen": lambda model: model.requires_grad_(False),
    "in train mode": lambda model: model.train(),
    "hooked": lambda model: with_hooks(model),
}


def with_compiled_part(model):
    model.layer4 = torch.compile(model.layer4, backend="eager")
    return model


def with_hooks(model):
    model.layer4.register_forward_hook(lambda module, inputs, output: output.clone())
    model.layer2.register_forward_pre_hook(lambda module, inputs: None)
    model.layer3.register_full_backward_hook(lambda module, inputs, outputs: None)
    return model


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_model_in_any_condition_has_the_maps_of_the_plain_model(networks, condition):
    plain, images = networks["resnet18"]
    expected = cams.explain(plain, images[:2], methods=GRADIENT_METHODS, engine="grad-cam")
    model = CONDITIONS[condition](copy.deepcopy(plain))
    if "compiled" in condition:
        with torch.no_grad():
            model(images[:2])  # compiled code that has run calls no hook of a layer
    result = cams.explain(model, images[:2], methods=GRADIENT_METHODS)
    for method in GRADIENT_METHODS:
        assert (result.maps[method] - expected.maps[method]).abs().max() < TOLERANCE


def test_a_layer_has_one_name_whatever_the_model_is_wrapped_in(networks):
    plain, images = networks["resnet18"]
    names = ("layer3.0", "module.layer3.0", "_orig_mod.layer3.0", "module._orig_mod.layer3.0")
    model = nn.DataParallel(copy.deepcopy(plain))
    assert cams.default_layer(model, images[:1]) == cams.default_layer(plain, images[:1])
    expected = cams.heatmaps(plain, images[:1], method="grad-cam", target_layer="layer3.0")
    for name in names:
        maps = cams.heatmaps(model, images[:1], method="grad-cam", target_layer=name)
        assert torch.equal(maps, expected)


@pytest.mark.parametrize("shape", [(1, 40, 64), (3, 64, 36), (1, 33, 33), (4, 30, 50)])
def test_grey_wide_and_high_images_have_the_maps_of_the_library(shape):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        convolution = nn.Conv2d(shape[0], 6, 3, stride=2)
        model = nn.Sequential(
            convolution, nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(54, 4)
        )
        images = torch.rand(1, *shape)
    for method in LIBRARY_METHODS:
        ours = cams.heatmaps(model, images, method=method, target_layer="1")
        library = cams.heatmaps(model, images, method=method, target_layer="1", engine="grad-cam")
        assert ours.shape == (1, *shape[1:])
        assert (ours - library).abs().max() < TOLERANCE


def test_weights_of_inference_mode_and_torchscript_are_refused(networks):
    with torch.inference_mode():
        model = mnist_net()
    with pytest.raises(ValueError, match="created in torch.inference_mode.* outside of it"):
        cams.heatmaps(model, IMAGES, method="grad-cam")
    script = torch.jit.trace(mnist_net(), IMAGES[:1])
    with pytest.raises(TypeError, match="TorchScript layers, .* pass the torch.nn.Module"):
        cams.heatmaps(script, IMAGES, method="grad-cam")


# --------------------------------------------------------------------- outputs that are not logits


@dataclasses.dataclass
class Prediction:
    """What some models return: their logits among other things."""

    loss: object
    logits: torch.Tensor


TwoHeads = collections.namedtuple("TwoHeads", "main auxiliary")


def parts(kind):
    """Return a forward pass whose logits are one part of its output."""

    def forward(model, images):
        logits = head(model, model.conv(images).relu())
        return kind(logits)

    return forward


OUTPUTS = {
    "tuple": (lambda z: (z, z.square()), 0, 0),
    "second": (lambda z: (z[0], z), 1, 1),
    "dict": (lambda z: {"features": z[:, :, None], "logits": z}, "logits", "logits"),
    "dataclass": (lambda z: Prediction(None, z), "logits", "logits"),
    "named tuple": (lambda z: TwoHeads(z, z + 1), "main", "main"),
    "function": (lambda z: (z, z), lambda value: value[0], 0),
    "attribute": (lambda z: TwoHeads(z, z + 1), 0, "main"),
}


@pytest.mark.parametrize("engine", cams.ENGINES)
@pytest.mark.parametrize("kind", OUTPUTS)
def test_output_selects_the_logits(kind, engine):
    returned, output, suggested = OUTPUTS[kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        plain = Uses(parts(lambda z: z)).eval()
    model = copy.deepcopy(plain)
    model.function = parts(returned)
    options = {"methods": LIBRARY_METHODS, "target_layer": "conv"}
    expected = cams.explain(plain, IMAGES, **options, engine=engine)
    result = cams.explain(model, IMAGES, **options, output=output, engine=engine)
    assert torch.equal(result.logits, expected.logits)
    for method in LIBRARY_METHODS:
        torch.testing.assert_close(result.maps[method], expected.maps[method], atol=1e-6, rtol=0)
    default = cams.heatmaps(model, IMAGES, method="grad-cam", output=output)
    assert torch.equal(default, cams.heatmaps(plain, IMAGES, method="grad-cam"))
    message = rf"logits of shape \(N, classes\), got .* for one image: pass output={suggested!r} to"
    with pytest.raises(ValueError, match=message):
        cams.heatmaps(model, IMAGES, method="grad-cam")


@pytest.mark.parametrize(
    ("output", "error", "message"),
    [
        (
            "logit",
            ValueError,
            r"output='logit' does not fit the model, .* dict with 'logits' \(1, 10",
        ),
        (3, ValueError, "output=3 does not fit the model, which returns dict"),
        (2.5, TypeError, "output must be a position, a key or attribute, or a function"),
        (lambda value: value["logits"][0], ValueError, r"logits of shape .*, got \(10,\)"),
        (lambda value: value["logits"].argmax(1, True), ValueError, "floating-point logits, got"),
    ],
)
def test_an_output_that_does_not_exist_is_refused(output, error, message):
    model = Uses(parts(lambda z: {"logits": z}))
    with pytest.raises(error, match=message) as caught:
        cams.heatmaps(model, IMAGES, method="grad-cam", output=output)
    assert "\n" not in str(caught.value)


def test_a_single_logit_has_no_probabilities_unless_both_classes_are_explained():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 1)
        )
    result = cams.explain(model, IMAGES, methods=["grad-cam"], target_layer="1")
    with pytest.raises(ValueError, match="a single logit, .* pass output=cams.two_classes"):
        _ = result.probabilities
    both = cams.explain(
        model, IMAGES, methods=["grad-cam"], target_layer="1", output=cams.two_classes
    )
    positive = result.logits[:, 0].sigmoid()
    torch.testing.assert_close(both.probabilities, torch.stack([1 - positive, positive], 1))
    assert torch.equal(both.targets, (result.logits[:, 0] > 0).long())


@pytest.mark.parametrize("target", [0, 1])
def test_both_classes_of_a_single_logit_have_the_maps_of_the_library(networks, target):
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import BinaryClassifierOutputTarget

    small, images = copy.deepcopy(networks["small_vgg"][0]), networks["small_vgg"][1][:4]
    model = nn.Sequential(small, nn.Linear(10, 1)).eval()
    targets = [BinaryClassifierOutputTarget(target)] * 4
    with GradCAM(model, [small[0][10]]) as cam:
        expected = torch.from_numpy(cam(input_tensor=images, targets=targets))
    options = {"target_layer": small[0][10], "output": cams.two_classes, "targets": [target] * 4}
    ours = cams.heatmaps(model, images, method="grad-cam", **options)
    assert ours.amax() > 0.9
    assert (ours - expected).abs().max() < TOLERANCE


def test_probabilities_are_the_softmax_unless_the_model_ends_in_one(networks):
    model, images = networks["mnist"]
    plain = cams.explain(model, images, methods=["grad-cam"])
    torch.testing.assert_close(plain.probabilities, plain.logits.softmax(1))
    for last in (nn.Softmax(1), nn.LogSoftmax(1)):
        ended = cams.explain(nn.Sequential(model, last), images, methods=["grad-cam"])
        torch.testing.assert_close(ended.probabilities, plain.logits.softmax(1))


# --------------------------------------------------------------------------- side effects of a call


def state(model):
    return {
        "modes": [module.training for module in model.modules()],
        "hooks": [
            (len(module._forward_hooks), len(module._forward_pre_hooks))
            for module in model.modules()
        ],
        "in place": [getattr(module, "inplace", None) for module in model.modules()],
        "trainable": [parameter.requires_grad for parameter in model.parameters()],
        "gradients": [None if p.grad is None else p.grad.tolist() for p in model.parameters()],
        "values": [value.tolist() for value in model.state_dict().values()],
    }


@pytest.mark.parametrize(("engine", "method"), ENGINE_METHODS)
def test_the_model_is_left_unchanged(networks, method, engine):
    model, images = networks["small_vgg"]
    model = copy.deepcopy(model).train()
    model[0][1].eval()  # modes differ from layer to layer
    model[0][4].weight.requires_grad = False
    model[0][0].weight.grad = torch.ones_like(model[0][0].weight)
    before, evaluated = state(model), copy.deepcopy(model).eval()
    maps = cams.heatmaps(model, images, method=method, engine=engine)
    assert state(model) == before
    assert torch.equal(maps, cams.heatmaps(evaluated, images, method=method, engine=engine))


@pytest.mark.parametrize("engine", cams.ENGINES)
def test_a_model_that_fails_midway_is_left_unchanged(networks, engine):
    class Breaks(nn.Module):
        def forward(self, x):
            if len(x) > 1:  # the one-image survey passes
                raise RuntimeError("broken layer")
            return x

    model, images = networks["small_vgg"]
    model = nn.Sequential(*copy.deepcopy(model), Breaks()).train()
    before = state(model)
    with pytest.raises(RuntimeError, match="broken layer"):
        cams.heatmaps(model, images, method="grad-cam", engine=engine)
    assert state(model) == before
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("engine", cams.ENGINES)
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_the_callers_gradient_mode_does_not_matter(networks, engine, context):
    model, images = networks["mnist"]
    expected = cams.heatmaps(model, images, method="grad-cam++", engine=engine)
    with context():
        mode = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        maps = cams.heatmaps(model, images + 0, method="grad-cam++", engine=engine)
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == mode
    assert not maps.requires_grad
    assert torch.equal(maps, expected)


@pytest.mark.parametrize("engine", cams.ENGINES)
def test_frozen_parameters_are_no_obstacle(networks, engine):
    model, images = networks["resnet18"]
    frozen = copy.deepcopy(model).requires_grad_(False)
    expected = cams.heatmaps(model, images, method="grad-cam", engine=engine)
    assert torch.equal(cams.heatmaps(frozen, images, method="grad-cam", engine=engine), expected)
    assert not any(parameter.requires_grad for parameter in frozen.parameters())


def test_images_that_require_gradients_keep_theirs_untouched(networks):
    model, images = networks["mnist"]
    images = images.clone().requires_grad_()
    maps = cams.heatmaps(model, images, method="grad-cam")
    assert images.grad is None
    assert not maps.requires_grad


def test_the_package_imports_and_works_without_the_library(networks, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "pytorch_grad_cam"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
    model, images = networks["mnist"]
    assert cams.heatmaps(model, images, method="grad-cam").max() > 0.9
    with pytest.raises(ImportError, match=r'grad-cam" needs .*pruncam\[notebooks\]'):
        cams.heatmaps(model, images, method="grad-cam", engine="grad-cam")


# -------------------------------------------------------------------------------- invalid arguments


IMAGES = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
NOT_A_NUMBER = torch.where(torch.arange(28) == 3, torch.nan, IMAGES)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"method": "gradcam"},
            ValueError,
            "unknown CAM method 'gradcam': choose one of grad-cam, grad-cam",
        ),
        ({"engine": "captum"}, ValueError, "unknown engine 'captum': choose one of fast, grad-cam"),
        ({"target_layer": "conv3"}, ValueError, "no layer 'conv3': did you mean conv2, conv1"),
        ({"target_layer": "zzzzzz"}, ValueError, "no layer 'zzzzzz': did you mean .*fc"),
        ({"target_layer": nn.Conv2d(1, 1, 1)}, ValueError, "Conv2d is not a layer of this model"),
        ({"target_layer": 3}, TypeError, "module, its dotted name or None, got int"),
        (
            {"target_layer": "fc"},
            ValueError,
            r"'fc' must give \(N, C, H, W\) activations, got \(1, 10\)",
        ),
        (
            {"targets": torch.tensor([1, 2])},
            ValueError,
            r"one class index per image, shape \(4,\), got \(2,\)",
        ),
        (
            {"targets": torch.zeros(4, 10, dtype=torch.long)},
            ValueError,
            r"shape \(4,\), got \(4, 10\)",
        ),
        ({"targets": torch.zeros(4)}, TypeError, "integer class indices, got torch.float32"),
        (
            {"targets": torch.zeros(4, dtype=torch.bool)},
            TypeError,
            "integer class indices, got torch.bool",
        ),
        ({"targets": [0, 1, 2, 10]}, ValueError, "classes of the model, 0 to 9, got 0 to 10"),
        ({"targets": [0, 1, 2, -1]}, ValueError, "got -1 to 2"),
        ({"batch_size": 0}, ValueError, "at least 1, got 0"),
        ({"batch_size": 2.5}, ValueError, "whole number of at least 1, got 2.5"),
        ({"images": IMAGES[0]}, ValueError, r"\(N, C, H, W\), got \(1, 28, 28\)"),
        ({"images": IMAGES.numpy()}, TypeError, "must be a tensor .* got ndarray"),
        ({"images": (IMAGES * 255).byte()}, TypeError, "floating point, .* got torch.uint8"),
        ({"images": NOT_A_NUMBER}, ValueError, "finite, got NaN or infinite pixels"),
        ({"images": IMAGES / 0}, ValueError, "finite, got NaN or infinite pixels"),
        (
            {"images": IMAGES[:0]},
            ValueError,
            r"at least one image and one pixel, got shape \(0, 1, 28, 28\)",
        ),
    ],
)
def test_an_invalid_argument_is_refused_in_one_sentence(arguments, error, message):
    arguments = {"model": mnist_net(), "images": IMAGES, "method": "grad-cam"} | arguments
    with pytest.raises(error, match=message) as caught:
        cams.heatmaps(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("function", "layer", "message"),
    [
        (lambda m, x: m.conv(x), None, r"logits of shape \(N, classes\), got \(1, 2, 26, 26\)"),
        (
            lambda m, x: head(m, m.conv(x)),
            "spare",
            "'spare' is not applied in the model's forward pass",
        ),
        (
            lambda m, x: (m.spare(m.conv(x)), head(m, m.conv(x)))[1],
            "spare",
            "logits do not depend on the target layer",
        ),
        (
            lambda m, x: head(m, m.conv(x)).detach(),
            "conv",
            "logits do not depend on the target layer",
        ),
        (lambda m, x: head(m, m.conv(x)) / 0, None, "logits are NaN or infinite for 4 of 4 images"),
    ],
)
def test_a_model_that_cannot_be_explained_says_why(function, layer, message):
    with pytest.raises(ValueError, match=message):
        cams.heatmaps(Uses(function), IMAGES, method="grad-cam", target_layer=layer)


def test_a_model_without_a_convolution_says_so():
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    with pytest.raises(ValueError, match="applies no Conv2d layer: pass target_layer, the name"):
        cams.heatmaps(model, IMAGES, method="grad-cam")


def test_an_object_that_is_not_a_module_is_refused():
    with pytest.raises(TypeError, match="model must be a torch.nn.Module, got str"):
        cams.heatmaps("resnet18", IMAGES, method="grad-cam")
