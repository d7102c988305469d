"""The forward survey of a network: layers in order, shapes, and an unchanged model."""

import copy

import pytest
import torch
from torch import nn

from pruncam._nn.memory import images_within
from pruncam._nn.probe import eval_mode, placed_like, profile_forward
from pruncam.networks import cifar_net, mnist_net


def test_calls_are_in_order_of_execution_with_names_and_shapes():
    model = mnist_net()
    profile = profile_forward(model, torch.rand(2, 1, 28, 28))
    shapes = {call.name: tuple(call.output_shape) for call in profile.calls}
    assert list(shapes) == [*dict(model.named_children()), ""]
    assert shapes["conv2"] == (2, 8, 11, 11)
    assert shapes["pool2"] == (2, 8, 5, 5)
    assert shapes[""] == profile.logits.shape == (2, 10)


@pytest.mark.parametrize(
    ("megabytes", "device", "images"),
    [(0.5, "cpu", 32), (10, "cpu", 4), (20, "cpu", 3), (100, "cpu", 1), (100, "cuda", 10)],
)
def test_a_few_large_images_go_through_a_network_together(megabytes, device, images):
    assert images_within(int(megabytes * 2**20), torch.device(device)) == images


def test_bytes_are_those_of_input_and_output():
    profile = profile_forward(mnist_net(), torch.rand(1, 1, 28, 28))
    first = profile.calls[0]
    assert first.bytes_held == 4 * (28 * 28 + 4 * 26 * 26)


def test_the_first_call_of_a_layer_that_is_applied_twice():
    relu = nn.ReLU()
    model = nn.Sequential(nn.Conv2d(1, 2, 3), relu, nn.Flatten(), nn.Linear(8, 8), relu)
    profile = profile_forward(model, torch.rand(1, 1, 4, 4))
    assert [call.name for call in profile.calls] == ["0", "1", "2", "3", "1", ""]
    assert profile.first_call(relu) == 1
    with pytest.raises(ValueError, match="Tanh is not applied in the model's forward pass"):
        profile.first_call(nn.Tanh())


def test_the_last_convolution_of_every_spatial_size():
    profile = profile_forward(cifar_net(width=4), torch.rand(1, 3, 32, 32))
    assert profile.last_convolutions() == {
        "features.3": (32, 32),
        "features.10": (16, 16),
        "features.17": (8, 8),
        "features.21": (2, 2),
    }


def test_an_output_that_is_not_a_tensor_has_no_shape():
    class Attending(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(4, 1)

        def forward(self, x):
            return self.attention(x, x, x)[0].mean(2)

    profile = profile_forward(Attending(), torch.rand(2, 3, 4))
    call = profile.calls[profile.first_call(profile.calls[-2].module)]
    assert call.name == "attention" and call.output_shape is None


def test_the_model_is_left_unchanged():
    model = cifar_net(width=4).train()
    model[0][1].eval()
    before = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    profile_forward(model, torch.rand(2, 3, 32, 32))
    with pytest.raises(ValueError, match="cannot take images of shape"):
        profile_forward(model, torch.rand(2, 1, 32, 32))
    assert [module.training for module in model.modules()] == modes
    assert not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_an_object_that_is_not_a_module_is_refused():
    with pytest.raises(TypeError, match="model must be a torch.nn.Module, got str"):
        profile_forward("vgg11", torch.rand(1, 3, 32, 32))


def test_eval_mode_restores_the_modes_after_an_error():
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout().eval())).train()
    model[1][0].eval()
    with pytest.raises(KeyError), eval_mode(model):
        assert not any(module.training for module in model.modules())
        raise KeyError
    assert [module.training for module in model.modules()] == [True, True, True, False]


def test_images_take_the_floating_point_type_of_the_model():
    model = mnist_net().double()
    with torch.inference_mode():
        images = torch.rand(1, 1, 28, 28)
    placed = placed_like(model, images)
    assert placed.dtype == torch.float64
    assert not placed.is_inference()
