"""Training: both engines against explicit loops; precision, checkpoints, rejected input."""

import copy
import hashlib
import math
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from pruncam import pruning, training
from pruncam._core import allocator
from pruncam._core.seeds import derive, generator
from pruncam._nn import tiled_convolution
from pruncam.datasets import catalog, noise
from pruncam.networks import cifar_net, initialize, mnist_net
from pruncam.training import (
    Checkpoint,
    Inputs,
    OneCycle,
    Recipe,
    WarmRestarts,
    accuracy,
    fit,
    predictions,
    resolve_precision,
    winograd,
)
from pruncam.training.augmentation import draw_augmentation
from pruncam.training.compiled import trainer

ENGINES = ("torch", "fused")
RECIPE = Recipe(((2, 0.05), (1, 0.01)), batch_size=32, momentum=0.9, weight_decay=1e-4)
NOISY = Inputs(noise=51, mean=0.1307, std=0.3081)


@pytest.fixture(scope="module")
def digits():
    # 500 = 15 x 32 + 20: the last batch of 32 is smaller.
    return catalog.load("digits", "train").first(500)


def net(seed=0):
    return initialize(mnist_net(), "kaiming-normal", seed)


def sparse_net(steps=6):
    model = net()
    for _ in range(steps):
        model = pruning.lottery_step(model)
    return model


def small_net():
    """A network with BatchNorm for the images of `colours`."""
    layers = (
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 6, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(24, 4),
    )
    return initialize(nn.Sequential(*layers), "pytorch", 0)


def colours(count=70):
    """Images (N, 3, 10, 10) of four classes, brighter in one quarter each, and their labels."""
    random = torch.Generator().manual_seed(7)
    images = torch.randint(0, 128, (count, 3, 10, 10), generator=random, dtype=torch.uint8)
    labels = torch.arange(count) % 4
    for image, label in zip(images, labels.tolist(), strict=True):
        row, column = divmod(label, 2)
        image[:, 5 * row :, 5 * column :][:, :5, :5] += 100
    return images, labels


def parameters(model):
    # While a model is trained, its convolutions are laid out with channels last.
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])


def trained(model, digits, engine="torch", recipe=RECIPE, inputs=NOISY, seed=5):
    model = copy.deepcopy(model)
    loss = fit(model, digits.images, digits.labels, recipe, inputs, seed=seed, engine=engine)
    return parameters(model), loss


def by_hand(model, images, labels, recipe, inputs, seed):
    """Train by an explicit loop with PyTorch's optimizer; masks are applied after every step."""
    masks = {name: mask.clone() for name, mask in pruning.masks(model).items()}
    optimizer = torch.optim.SGD(
        model.parameters(), lr=1, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    rates = [rate for epochs, rate in recipe.schedule for _ in range(epochs)]
    for epoch, rate in enumerate(rates):
        optimizer.param_groups[0]["lr"] = rate
        order = torch.randperm(len(images), generator=generator(seed, "order", epoch))
        key, losses = derive(seed, "noise", epoch), []
        for start in range(0, len(order), recipe.batch_size):
            batch = order[start : start + recipe.batch_size]
            pixels = (
                noise.background(images[batch], batch, key=key, level=inputs.noise)
                if inputs.noise
                else images[batch]
            )
            loss = nn.functional.cross_entropy(
                model((pixels / 255 - inputs.mean) / inputs.std), labels[batch]
            )
            losses += [loss.item()] * len(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    parameter *= masks.get(name, 1)
    return parameters(model), sum(losses) / len(losses)


@pytest.mark.parametrize("start", [net, sparse_net], ids=["all weights", "pruned"])
@pytest.mark.parametrize("inputs", [NOISY, Inputs(), Inputs(noise=255, mean=0.5, std=0.5)], ids=str)
def test_the_fused_engine_trains_as_pytorch_does(digits, start, inputs):
    model = start()
    eager, eager_loss = trained(model, digits, "torch", inputs=inputs)
    # After 48 steps, in another order of sums.
    compiled, compiled_loss = trained(model, digits, "fused", inputs=inputs)
    assert (eager - parameters(model)).abs().max() > 0.05, "nothing was trained"
    assert (eager - compiled).abs().max() < 1e-4
    assert compiled_loss == pytest.approx(eager_loss, abs=1e-4)


def convolution_gradients(layer, x, gradient):
    """Output of a convolution, and the gradients of its input, weights and bias."""
    x = x.clone().requires_grad_()
    layer.zero_grad()
    output = layer(x)
    output.backward(gradient)
    return output.detach(), x.grad, *(parameter.grad.clone() for parameter in layer.parameters())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize(
    ("size", "padding"), [((16, 16), 1), ((8, 12), 1), ((11, 9), 1), ((14, 14), 0), ((13, 9), 0)]
)
def test_fast_convolutions_round_about_as_pytorchs_do(size, padding, layout, monkeypatch):
    monkeypatch.setattr(tiled_convolution, "_CHUNK", 2**15)  # several chunks, the last one smaller
    layer = initialize(nn.Conv2d(64, 72, 3, padding=padding), "pytorch", 3)
    check_rounding(layer, (5, 64, *size), layout, "_ConvolutionBackward")


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize(
    ("size", "padding"),
    [((1, 1), 1), ((2, 2), 1), ((1, 3), 1), ((3, 4), 1), ((3, 3), 0), ((4, 4), 0), ((6, 5), 0)],
)
def test_convolutions_of_small_maps_round_as_pytorchs_do(size, padding, layout):
    layer = initialize(nn.Conv2d(130, 127, 3, padding=padding), "pytorch", 3)
    check_rounding(layer, (6, 130, *size), layout, "_SmallMapsConvolutionBackward")


def check_rounding(layer, shape, layout, function):
    """Hold a layer's output and gradients by `function` against PyTorch's in float64."""
    random = torch.Generator().manual_seed(2)
    x = torch.randn(shape, generator=random).contiguous(memory_format=layout)
    gradient = torch.randn(layer(x).shape, generator=random)
    exact = convolution_gradients(copy.deepcopy(layer).double(), x.double(), gradient.double())
    eager = convolution_gradients(layer, x, gradient)
    with winograd.fast_convolutions(layer):
        assert layer(x).grad_fn.name() == function
        fast = convolution_gradients(layer, x, gradient)
    assert layer(x).grad_fn.name() == "ConvolutionBackward0", "the layer is as it was"
    for values, reference, expected in zip(fast, eager, exact, strict=True):
        assert values.shape == expected.shape
        error, usual = (float((v - expected).norm() / expected.norm()) for v in (values, reference))
        assert error < 1e-5
        assert error < 10 * usual + 1e-6


def test_fast_convolutions_give_the_same_bits_on_two_threads(monkeypatch):
    layer = initialize(nn.Conv2d(64, 64, 3, padding=1), "pytorch", 3)
    x, gradient = torch.randn(2, 5, 64, 12, 12, generator=torch.Generator().manual_seed(2))
    with winograd.fast_convolutions(layer):
        alone = convolution_gradients(layer, x, gradient)
        monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
        together = convolution_gradients(layer, x, gradient)
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(64, 64, 3, padding=1, stride=2),
        nn.Conv2d(64, 64, 3, padding=1, groups=2),
        nn.Conv2d(64, 64, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(64, 64, 3, padding=2, dilation=2),
        nn.Conv2d(64, 64, 5, padding=1),
        nn.Conv2d(64, 68, 3, padding=1),
        nn.Conv2d(512, 28, 3, padding=1),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.Conv2d(64, 64, 3, padding="same"),
        nn.Conv2d(64, 64, 3, padding=1, dtype=torch.float64),
    ],
    ids=str,
)
def test_other_convolutions_stay_pytorchs(layer):
    assert not winograd.applies(layer)
    with winograd.fast_convolutions(layer):
        assert "forward" not in vars(layer)


def test_outputs_of_fast_convolutions_may_be_changed_in_place():
    layers = (nn.Conv2d(3, 64, 3, padding=1), nn.Conv2d(64, 64, 3, padding=1))
    model = nn.Sequential(*layers, nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(64 * 100, 4))
    images, labels = colours(8)
    fit(model, images, labels, Recipe(((1, 0.01),), 4), Inputs(), seed=1, engine="winograd")
    model.zero_grad()
    x = torch.randn(2, 64, 8, 8)
    with winograd.fast_convolutions(model):
        y = layers[1](x)
        expected = y.detach() + 1
        y += 1
        assert torch.equal(y.detach(), expected)
        y.sum().backward()


def test_fast_convolutions_do_not_depend_on_the_default_type():
    layer, x = nn.Conv2d(64, 64, 3, padding=1), torch.randn(2, 64, 8, 8)
    expected = layer(x)
    torch.set_default_dtype(torch.float64)
    try:
        with winograd.fast_convolutions(layer):
            output = layer(x)
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(output, expected)


def test_compiled_models_keep_their_own_code():
    wrapper = nn.Module()
    wrapper._orig_mod = nn.Conv2d(64, 64, 3, padding=1)  # as torch.compile(model) has it
    assert not winograd.applies(wrapper)
    compiled_in_place = nn.Conv2d(64, 64, 3, padding=1)
    assert winograd.applies(compiled_in_place)
    compiled_in_place._compiled_call_impl = lambda *inputs: None  # as model.compile() leaves it
    assert not winograd.applies(compiled_in_place)


@pytest.mark.parametrize(
    ("shape", "function"),
    [
        ((2, 512, 2, 2), "_SmallMapsConvolutionBackward"),
        ((63, 512, 4, 4), "_SmallMapsConvolutionBackward"),
        ((64, 512, 4, 4), "_ConvolutionBackward"),
        ((2, 512, 5, 4), "_ConvolutionBackward"),
        ((2, 512, 1, 9), "ConvolutionBackward0"),
    ],
    ids=str,
)
def test_small_maps_are_convolved_by_matrix_products_larger_ones_in_tiles(shape, function):
    layer = nn.Conv2d(512, 128, 3, padding=1)
    with winograd.fast_convolutions(layer):
        assert layer(torch.ones(shape)).grad_fn.name() == function


def test_maps_smaller_than_the_kernel_are_refused_as_by_pytorch():
    layer = nn.Conv2d(128, 128, 3)
    with (
        winograd.fast_convolutions(layer),
        pytest.raises(RuntimeError, match="Kernel size can't be greater"),
    ):
        layer(torch.ones(2, 128, 2, 4))


def smooth_net():
    """A wide network without ReLU and maximum, which would turn rounding into other gradients."""
    layers = (
        nn.Conv2d(3, 64, 3, padding=1),
        nn.BatchNorm2d(64),
        nn.Softplus(),
        nn.Conv2d(64, 64, 3, padding=1),
        nn.BatchNorm2d(64),
        nn.Softplus(),
        nn.Conv2d(64, 72, 3),
        nn.Softplus(),
        nn.AdaptiveAvgPool2d(2),
        nn.Conv2d(72, 240, 3, padding=1),
        nn.Softplus(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(240, 4),
    )
    return pruning.global_unstructured(initialize(nn.Sequential(*layers), "pytorch", 0), 0.5)


def test_wide_networks_train_with_fast_convolutions_to_the_same_weights():
    images, labels = colours(30)
    recipe, start = Recipe(((2, 0.1),), 12), smooth_net()
    weights = {}
    for engine in ("auto", "winograd", "torch"):
        model = copy.deepcopy(start)
        fit(model, images, labels, recipe, Inputs(mean=0.5, std=0.5), seed=1, engine=engine)
        assert (model[3].weight[start[3].weight == 0] == 0).all()
        weights[engine] = parameters(model)
    assert torch.equal(weights["auto"], weights["winograd"])
    assert (weights["torch"] - parameters(start)).abs().max() > 0.01, "nothing was trained"
    difference = (weights["winograd"] - weights["torch"]).abs().max()
    assert 0 < difference < 1e-5


def test_the_winograd_engine_is_for_wide_networks_in_float32_on_a_cpu():
    wide, narrow = cifar_net(width=64), cifar_net(width=8)
    assert training.resolve_engine(wide, "auto", RECIPE) == "winograd"
    assert training.resolve_engine(wide, "auto", RECIPE, "bfloat16") == "torch"
    assert training.resolve_engine(wide.double(), "auto", RECIPE) == "torch"
    with pytest.raises(ValueError, match="many channels and filters .* use engine 'torch'"):
        training.resolve_engine(narrow, "winograd", RECIPE)


@pytest.mark.parametrize("batch_size", [1, 7, 500, 1000], ids=lambda size: f"batches of {size}")
def test_the_engines_agree_for_every_batch_size(digits, batch_size):
    first = digits.first(40) if batch_size == 1 else digits
    recipe = Recipe(((1, 0.01),), batch_size=batch_size, momentum=0.5, weight_decay=0.01)
    eager, eager_loss = trained(net(), first, "torch", recipe)
    compiled, compiled_loss = trained(net(), first, "fused", recipe)
    assert (eager - compiled).abs().max() < 1e-5
    assert compiled_loss == pytest.approx(eager_loss, abs=1e-5)


def test_one_step_of_the_fused_engine_sees_the_noise_of_the_data_sets(digits):
    # With one step, weights that saw other noise differ by far more than rounding.
    step = Recipe(((1, 0.01),), batch_size=500, momentum=0)
    compiled, _ = trained(net(), digits, "fused", step)
    hand, _ = by_hand(net(), digits.images, digits.labels, step, NOISY, 5)
    other, _ = by_hand(net(), digits.images, digits.labels, step, NOISY, 6)
    assert (compiled - hand).abs().max() < 1e-6
    assert (compiled - other).abs().max() > 1e-4


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("start", [net, sparse_net], ids=["all weights", "pruned"])
def test_training_equals_a_loop_written_out(digits, engine, start):
    model = start()
    weights, loss = trained(model, digits, engine)
    expected, expected_loss = by_hand(
        copy.deepcopy(model), digits.images, digits.labels, RECIPE, NOISY, 5
    )
    assert (weights - expected).abs().max() < (1e-4 if engine == "fused" else 1e-5)
    assert loss == pytest.approx(expected_loss, abs=1e-4)


def test_other_networks_are_trained_as_a_loop_written_out_does(digits):
    torch.manual_seed(0)
    layers = (
        nn.Conv2d(1, 6, 5, stride=2),
        nn.BatchNorm2d(6),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(6 * 144, 10),
    )
    model = pruning.global_unstructured(nn.Sequential(*layers), 0.5)
    weights, _ = trained(model, digits, "auto")
    expected, _ = by_hand(
        copy.deepcopy(model).train(), digits.images, digits.labels, RECIPE, NOISY, 5
    )
    assert (weights - expected).abs().max() < 1e-5


def test_adam_is_pytorchs(digits):
    recipe = Recipe(((2, 0.003),), batch_size=50, optimizer="adam", weight_decay=0.01)
    weights, _ = trained(net(), digits, "auto", recipe, Inputs())
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003, weight_decay=0.01)
    for epoch in range(2):
        for batch in torch.randperm(500, generator=generator(5, "order", epoch)).split(50):
            optimizer.zero_grad()
            nn.functional.cross_entropy(
                model(digits.images[batch] / 255), digits.labels[batch]
            ).backward()
            optimizer.step()
    assert (weights - parameters(model)).abs().max() < 1e-5


def with_norm_of_vectors():
    """Return a classifier whose BatchNorm sees one value per channel and image."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 8), nn.BatchNorm1d(8), nn.Linear(8, 10))


def test_a_single_last_image_is_trained_with_the_batch_before_it(digits):
    images, labels = digits.images[:9], digits.labels[:9]
    fitted, model = with_norm_of_vectors(), with_norm_of_vectors()
    recipe = Recipe(((1, 0.1),), batch_size=4, momentum=0)
    training.fit(fitted, images, labels, recipe, Inputs(), seed=5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for batch in torch.randperm(9, generator=generator(5, "order", 0)).split([4, 5]):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[batch] / 255), labels[batch]).backward()
        optimizer.step()
    assert (parameters(fitted) - parameters(model)).abs().max() < 1e-5


def test_batches_of_one_are_refused_where_batch_norm_would_see_a_single_value(digits):
    one_by_one = Recipe(((1, 0.1),), batch_size=1)
    with pytest.raises(ValueError, match=r"2 is a BatchNorm .* a batch_size of at least 2"):
        training.fit(
            with_norm_of_vectors(),
            digits.images[:9],
            digits.labels[:9],
            one_by_one,
            Inputs(),
            seed=5,
        )


class Recorder(nn.Module):
    """A classifier that records the images it is trained on."""

    def __init__(self, pixels):
        super().__init__()
        self.linear, self.seen = nn.Linear(pixels, 10), []

    def forward(self, x):
        if self.training:
            self.seen += [(255 * image).round().byte() for image in x]
        return self.linear(x.flatten(1))


def moves_of(image, original, shift):
    """Return every (row, column, mirrored) with which `image` may be cropped from `original`."""
    padded = nn.functional.pad(original, (shift,) * 4)
    height, width = original.shape[1:]
    moves = []
    for row in range(2 * shift + 1):
        for column in range(2 * shift + 1):
            crop = padded[:, row : row + height, column : column + width]
            if torch.equal(image, crop):
                moves.append((row, column, False))
            if torch.equal(image, crop.flip(2)):
                moves.append((row, column, True))
    return moves


@pytest.mark.parametrize(("shift", "mirror"), [(2, True), (2, False), (0, True)])
def test_images_are_shifted_and_mirrored_anew_in_every_epoch(shift, mirror):
    images = torch.randint(
        0, 256, (60, 3, 9, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    model = Recorder(images[0].numel())
    recipe = Recipe(((2, 0.01),), batch_size=16, shift=shift, mirror=mirror)
    fit(model, images, torch.zeros(60, dtype=torch.int64), recipe, Inputs(), seed=3)
    epochs, seen = [], iter(model.seen)
    for epoch in range(2):
        order = torch.randperm(60, generator=generator(3, "order", epoch))
        candidates = [moves_of(next(seen), images[k], shift) for k in order]
        assert all(len(moves) == 1 for moves in candidates), (
            "an image that was not cropped from its original"
        )
        epochs.append([moves[0] for moves in candidates])
    assert epochs[0] != epochs[1]
    rows, columns, mirrored = zip(*epochs[0] + epochs[1], strict=True)
    assert set(rows) == set(columns) == set(range(2 * shift + 1))
    assert (40 < sum(mirrored) < 80) if mirror else sum(mirrored) == 0


def cut_square(image):
    """Return the black rows and columns of a white image with a rectangle in it."""
    black = (image == 0).all(0)
    rows, columns = black.any(1).nonzero().flatten(), black.any(0).nonzero().flatten()
    assert torch.equal(image == 0, black.expand_as(image)), "the channels differ"
    assert black.sum() == len(rows) * len(columns), "not a rectangle"
    return rows.tolist(), columns.tolist()


def test_cutout_puts_one_black_square_on_every_image_of_its_cycle_anew_in_every_epoch():
    images = torch.full((200, 3, 9, 8), 255, dtype=torch.uint8)
    model = Recorder(images[0].numel())
    cycles = OneCycle(1, 0.01), OneCycle(2, 0.01, cutout=3)
    recipe = Recipe(training.WarmRestarts(cycles), batch_size=50)
    fit(model, images, torch.zeros(200, dtype=torch.int64), recipe, Inputs(), seed=3)
    first, *cut = (model.seen[start : start + 200] for start in (0, 200, 400))
    assert all(image.eq(255).all() for image in first), "the first cycle has no cutout"
    epochs = [[cut_square(image) for image in seen] for seen in cut]
    places = []
    for seen, epoch in zip(epochs, (1, 2), strict=True):
        order = torch.randperm(200, generator=generator(3, "order", epoch))
        places.append([seen[k] for k in order.argsort()])
    assert sum(a == b for a, b in zip(*places, strict=True)) < 20, "72 places, two draws"
    for rows, columns in places[0] + places[1]:
        for pixels, length in ((rows, 9), (columns, 8)):
            is_whole = len(pixels) == 3
            touches_edge = pixels[0] == 0 or pixels[-1] == length - 1
            assert is_whole or (len(pixels) == 2 and touches_edge)
    first_rows = {tuple(rows) for rows, _ in places[0]}
    expected = {tuple(range(max(0, c - 1), min(9, c + 2))) for c in range(9)}
    assert first_rows == expected, "the centre may be any row"


def test_cutout_covers_the_share_of_pixels_computed_by_hand():
    # Along a line of 8 pixels, squares of side 4 centred at pixel c hold the pixels c-2 to c+1:
    # 2, 3, 4, 4, 4, 4, 4, 3 of them lie in the image.
    covered = (2 + 3 + 4 * 5 + 3) / 8
    images = torch.full((4000, 1, 8, 8), 255, dtype=torch.uint8)
    recipe = Recipe(OneCycle(1, 0.01, cutout=4), batch_size=50)
    draw = draw_augmentation(recipe, 0, 4000, generator(1))
    counts = (draw.apply(images, torch.arange(4000)) == 0).sum((1, 2, 3)).double()
    assert counts.mean() == pytest.approx(covered**2, rel=0.02)
    assert counts.max() == 16 and counts.min() == 4


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": "adam"},
        {"optimizer": "nesterov"},
        {"schedule": OneCycle(2, 0.01)},
        {"label_smoothing": 0.1},
        {"shift": 1},
        {"mirror": True},
    ],
    ids=str,
)
def test_the_fused_engine_refuses_recipes_that_it_does_not_know(change):
    recipe = replace(Recipe(((1, 0.01),), 32), **change)
    assert training.resolve_engine(mnist_net(), "auto", recipe) == "torch"
    with pytest.raises(ValueError, match="by SGD with a learning rate .* use engine 'torch'"):
        training.resolve_engine(mnist_net(), "fused", recipe)


def test_the_fused_engine_trains_in_float32_only():
    assert training.resolve_engine(mnist_net(), "auto", RECIPE, "bfloat16") == "torch"
    assert training.resolve_engine(mnist_net(), "auto", RECIPE, "auto") == "fused"
    with pytest.raises(ValueError, match="in float32, by SGD .* use engine 'torch'"):
        training.resolve_engine(mnist_net(), "fused", RECIPE, "bfloat16")


@pytest.mark.parametrize("engine", ENGINES)
def test_pruned_weights_stay_zero_and_all_others_are_trained(digits, engine):
    model = sparse_net()
    masks = {name: mask.clone() for name, mask in pruning.masks(model).items()}
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    fit(model, digits.images, digits.labels, RECIPE, NOISY, seed=1, engine=engine)
    for name, parameter in model.named_parameters():
        mask = masks.get(name, torch.ones_like(parameter))
        assert torch.equal(parameter[mask == 0], torch.zeros(int((mask == 0).sum())))
        assert (
            (parameter != before[name]) | (mask == 0)
        ).float().mean() > 0.95  # a dead unit's weights may stay
    assert all(torch.equal(mask, masks[name]) for name, mask in pruning.masks(model).items())


@pytest.mark.parametrize("engine", ENGINES)
def test_the_same_seed_gives_the_same_weights_to_the_bit_and_another_seed_does_not(digits, engine):
    weights, loss = trained(net(), digits, engine, seed=1)
    again, loss_again = trained(net(), digits, engine, seed=1)
    assert torch.equal(weights, again) and loss == loss_again
    other, _ = trained(net(), digits, engine, seed=2)
    assert (weights - other).abs().max() > 1e-3


def test_training_draws_nothing_from_the_global_random_state(digits):
    model = net()
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first, _ = trained(model, digits, "torch")
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(trained(model, digits, "torch")[0], first)


@pytest.mark.parametrize("engine", ENGINES)
def test_training_learns_the_digits(engine):
    train, test = catalog.load("digits", "train"), catalog.load("digits", "test")
    model = net()
    recipe = Recipe(((6, 0.02),), batch_size=16)
    assert fit(model, train.images, train.labels, recipe, NOISY, seed=1, engine=engine) < 0.5
    assert accuracy(model, NOISY.normalize(test.images), test.labels) > 0.85  # chance is 0.1


def test_the_schedule_gives_every_epoch_its_learning_rate():
    recipe = Recipe(((5, 0.01), (3, 0.001), (2, 0.0001)), 128)
    rates = [recipe.rates.batch_rates(epoch, 3) for epoch in range(recipe.epochs)]
    assert rates == [[0.01] * 3] * 5 + [[0.001] * 3] * 3 + [[0.0001] * 3] * 2


@pytest.mark.parametrize("engine", ENGINES)
def test_after_every_epoch_the_model_holds_its_weights_and_an_error_ends_the_training(
    digits, engine
):
    model, seen = net(), []

    def after_epoch():
        seen.append(parameters(model))
        if len(seen) == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fit(
            model,
            digits.images,
            digits.labels,
            RECIPE,
            NOISY,
            seed=5,
            engine=engine,
            after_epoch=after_epoch,
        )
    assert len(seen) == 2 and torch.equal(parameters(model), seen[1])
    one_epoch, _ = trained(net(), digits, engine, Recipe(((1, 0.05),), 32, 0.9, 1e-4))
    assert torch.equal(seen[0], one_epoch)


# ---------------------------------------------------------------- recipes


def test_a_one_cycle_rate_by_hand():
    recipe = Recipe(OneCycle(epochs=2, peak=0.8, warmup=0.25), 16)
    assert recipe.epochs == 2
    # Eight batches: the rate rises during two and falls during six, by 30 degrees each.
    angles = [math.radians(15 + 30 * step) for step in range(6)]
    expected = [0.2, 0.6, *[0.4 * (1 + math.cos(angle)) for angle in angles]]
    rates = recipe.rates.batch_rates(0, 4) + recipe.rates.batch_rates(1, 4)
    assert rates == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("warmup", [0.1, 0.2, 0.5])
def test_the_fall_of_a_one_cycle_rate_is_that_of_pytorch(warmup):
    """PyTorch's rate at every other step of twice the steps, those in the middle of our batches."""
    epochs, batches, peak = 4, 25, 0.3
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        peak,
        total_steps=2 * epochs * batches,
        pct_start=warmup,
        final_div_factor=1e12,
    )
    expected = []
    for _ in range(2 * epochs * batches - 1):
        expected.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    rates = []
    for epoch in range(epochs):
        rates += OneCycle(epochs, peak, warmup).batch_rates(epoch, batches)
    rising = round(warmup * epochs * batches)
    assert rates[rising:] == pytest.approx(expected[::2][rising:], abs=1e-9)
    # The rise is a straight line from zero.
    assert rates[:rising] == pytest.approx([peak * (k + 0.5) / rising for k in range(rising)])


def train_by_formulas(model, images, labels, recipe, seed):
    """Train by Nesterov's formulas on smoothed labels, NCHW; return weights and the mean loss."""
    classes = 4
    velocities = [torch.zeros_like(parameter) for parameter in model.parameters()]
    losses = []
    for epoch in range(recipe.epochs):
        order = torch.randperm(len(images), generator=generator(seed, "order", epoch))
        batches = order.split(recipe.batch_size)
        rates = recipe.rates.batch_rates(epoch, len(batches))
        losses = []
        for batch, rate in zip(batches, rates, strict=True):
            targets = nn.functional.one_hot(labels[batch], classes).float()
            targets = targets * (1 - recipe.label_smoothing) + recipe.label_smoothing / classes
            logits = model(images[batch] / 255)
            loss = -(targets * logits.log_softmax(1)).sum(1).mean()
            losses += [loss.item()] * len(batch)
            gradients = torch.autograd.grad(loss, list(model.parameters()))
            with torch.no_grad():
                for parameter, gradient, velocity in zip(
                    model.parameters(), gradients, velocities, strict=True
                ):
                    step = gradient + recipe.weight_decay * parameter
                    velocity.mul_(recipe.momentum).add_(step)
                    parameter -= rate * (step + recipe.momentum * velocity)
    return parameters(model), sum(losses) / len(losses)


def test_the_rates_of_warm_restarts_are_those_of_their_cycles():
    first, second = OneCycle(2, 0.8), OneCycle(3, 0.1)
    rates = WarmRestarts((first, second))
    assert rates.epochs == 5 and rates.starts == [0, 2]
    assert rates.batch_rates(1, 7) == first.batch_rates(1, 7)
    assert rates.batch_rates(2, 7) == second.batch_rates(0, 7)
    assert rates.batch_rates(4, 7) == second.batch_rates(2, 7)


def test_a_restart_begins_without_momentum():
    images, labels = colours()
    cycles = OneCycle(1, 0.1), OneCycle(2, 0.05)
    recipe = Recipe(WarmRestarts(cycles), batch_size=16, optimizer="nesterov")
    assert recipe.restarts == [1]
    whole, parts = small_net(), small_net()
    fit(whole, images, labels, recipe, Inputs(), seed=5)
    fit(parts, images, labels, replace(recipe, schedule=cycles[0]), Inputs(), seed=5)
    between = parameters(parts).clone()
    fit(parts, images, labels, recipe, Inputs(), seed=5, first_epoch=1)
    assert torch.equal(parameters(whole), parameters(parts))
    assert not torch.equal(parameters(parts), between)


@pytest.mark.parametrize(
    ("cycles", "error", "message"),
    [
        ((), ValueError, "need at least one cycle, got none"),
        ([OneCycle(1, 0.1)], TypeError, "need a tuple of OneCycle schedules"),
        ((OneCycle(1, 0.1), (1, 0.1)), TypeError, "need a tuple of OneCycle schedules"),
    ],
)
def test_warm_restarts_that_make_no_sense_are_refused(cycles, error, message):
    with pytest.raises(error, match=message):
        WarmRestarts(cycles)


def test_a_checkpoint_of_another_first_epoch_is_refused(digits, tmp_path):
    def interrupt():
        raise KeyboardInterrupt

    recipe = Recipe(((3, 0.01),), 100)
    for first in (np.int64(1), 0):  # a NumPy number counts as that number
        checkpoint = Checkpoint(tmp_path / "unfinished", pause=0)
        arguments = (net(), digits.images, digits.labels, recipe, NOISY)
        settings = {"seed": 1, "checkpoint": checkpoint, "first_epoch": first}
        if first:
            with pytest.raises(KeyboardInterrupt):
                fit(*arguments, **settings, after_epoch=interrupt)
        else:
            with pytest.raises(ValueError, match="another training .*first epoch"):
                fit(*arguments, **settings)


@pytest.mark.parametrize("epoch", [3, -1, 0.5, True, None], ids=str)
def test_a_first_epoch_beyond_the_recipe_is_refused(digits, epoch):
    with pytest.raises((TypeError, ValueError), match="first_epoch must be"):
        fit(net(), digits.images, digits.labels, RECIPE, NOISY, seed=1, first_epoch=epoch)


@pytest.mark.parametrize("schedule", [((2, 0.05), (1, 0.01)), OneCycle(3, 0.1)], ids=str)
def test_nesterov_label_smoothing_and_weight_decay_are_the_formulas(schedule):
    recipe = Recipe(
        schedule,
        batch_size=16,
        optimizer="nesterov",
        weight_decay=5e-3,
        label_smoothing=0.2,
    )
    images, labels = colours()
    model = small_net()
    loss = fit(model, images, labels, recipe, Inputs(), seed=5)
    weights, expected_loss = train_by_formulas(small_net(), images, labels, recipe, 5)
    assert (parameters(model) - parameters(small_net())).abs().max() > 0.02, "nothing was trained"
    assert (parameters(model) - weights).abs().max() < 1e-5
    assert loss == pytest.approx(expected_loss, abs=1e-5)
    plain = small_net()
    fit(plain, images, labels, replace(recipe, label_smoothing=0.0), Inputs(), seed=5)
    assert (parameters(plain) - weights).abs().max() > 1e-3, "the smoothing must matter"


# ---------------------------------------------------------------- memory kept between steps


class FakeLibrary:
    """The C library's functions, which write down what they are asked."""

    def __init__(self, largest_block=2**31):
        self.calls, self.largest_block = [], largest_block

    def mallopt(self, parameter, value):
        is_accepted = parameter != -3 or value <= self.largest_block
        if is_accepted:
            self.calls.append((parameter, value))
        return int(is_accepted)

    def malloc_trim(self, pad):
        self.calls.append("trim")


KEPT = [(-3, 2**31 - 1), (-1, 2**31 - 1)]
RETURNED = [(-3, 2**25), (-1, 2**26), "trim"]


@pytest.fixture
def library(monkeypatch):
    library = FakeLibrary()
    for name in allocator._SETTINGS_OF_USER:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(allocator, "_glibc", lambda: library)
    return library


def test_memory_is_returned_when_the_last_training_ends(library):
    with allocator.kept_memory():
        with pytest.raises(RuntimeError), allocator.kept_memory():
            raise RuntimeError
        assert library.calls == KEPT
    assert library.calls == KEPT + RETURNED


def test_an_older_library_keeps_the_largest_blocks_that_it_can(library):
    library.largest_block = 2**25
    with allocator.kept_memory():
        assert library.calls == [(-3, 2**25), (-1, 2**31 - 1)]


def test_memory_is_left_to_the_user_and_to_other_libraries(library, monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1")
    with allocator.kept_memory():
        assert library.calls == []
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_")
    monkeypatch.setattr(allocator, "_glibc", lambda: None)
    with allocator.kept_memory():
        assert library.calls == []


# ---------------------------------------------------------------- memory layout and precision


class Layouts(nn.Module):
    """A pair of layers that records the layout of its images and weights while it is trained."""

    def __init__(self, flatten):
        super().__init__()
        self.convolution, self.linear = nn.Conv2d(3, 4, 3), nn.Linear(256, 4)
        self.flatten, self.layouts = flatten, set()

    def forward(self, x):
        if self.training:
            for tensor in (x, self.convolution.weight):
                is_last = tensor.is_contiguous(memory_format=torch.channels_last)
                self.layouts.add("channels last" if is_last else "contiguous")
        return self.linear(self.flatten(self.convolution(x)))


FLATTENINGS = {
    "reshape": (lambda x: x.reshape(len(x), -1), {"channels last"}),
    "view": (lambda x: x.view(len(x), -1), {"contiguous"}),  # takes no channels last
}


@pytest.mark.parametrize("flattening", FLATTENINGS)
@pytest.mark.parametrize("recipe", [RECIPE, replace(RECIPE, shift=1)], ids=["plain", "shifted"])
def test_models_are_trained_with_channels_last_if_they_can_be(flattening, recipe):
    flatten, layouts = FLATTENINGS[flattening]
    model = Layouts(flatten)
    fit(model, *colours(), recipe, Inputs(), seed=0)
    assert model.layouts == layouts
    assert all(parameter.is_contiguous() for parameter in model.parameters())


def test_channels_last_changes_nothing_but_the_layout():
    images, labels = colours()
    recipe = replace(RECIPE, batch_size=16)
    model = pruning.global_unstructured(small_net(), 0.5)
    expected, _ = by_hand(copy.deepcopy(model), images, labels, recipe, Inputs(), 5)
    fit(model, images, labels, recipe, Inputs(), seed=5)
    assert (parameters(model) - expected).abs().max() < 1e-5
    assert all(tensor.is_contiguous() for tensor in model.state_dict().values())


def test_a_failed_training_leaves_contiguous_weights():
    def stop():
        raise InterruptedError

    model = small_net()
    with pytest.raises(InterruptedError):
        fit(model, *colours(), RECIPE, Inputs(), seed=0, after_epoch=stop)
    assert all(parameter.is_contiguous() for parameter in model.parameters())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("optimizer", training.OPTIMIZERS)
def test_masks_are_exact_in_every_precision(precision, optimizer):
    model = pruning.global_unstructured(small_net(), 0.5)
    masks = {name: mask.clone() for name, mask in pruning.masks(model).items()}
    before = parameters(model)
    recipe = Recipe(((2, 0.01),), 16, optimizer=optimizer, weight_decay=0.01)
    fit(model, *colours(), recipe, Inputs(), seed=0, precision=precision)
    assert (parameters(model) - before).abs().max() > 1e-3, "nothing was trained"
    for name, mask in masks.items():
        pruned = model.get_parameter(name)[mask == 0]
        assert len(pruned) > 0
        assert torch.equal(pruned, torch.zeros_like(pruned))
        assert torch.equal(pruning.masks(model)[name], mask)


def test_bfloat16_keeps_weights_in_float32_and_ends_near_float32():
    models = {precision: small_net() for precision in ("float32", "bfloat16")}
    losses = {
        precision: fit(model, *colours(), RECIPE, Inputs(), seed=3, precision=precision)
        for precision, model in models.items()
    }
    first, second = models["float32"].state_dict(), models["bfloat16"].state_dict()
    assert {name: value.dtype for name, value in second.items()} == {
        name: value.dtype for name, value in first.items()
    }
    changes = parameters(models["float32"]) - parameters(small_net())
    differences = parameters(models["bfloat16"]) - parameters(models["float32"])
    # bfloat16 has 8 significant bits.
    assert 1e-5 < differences.norm() / changes.norm() < 0.1
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.02)
    # Weights in float32 keep the steps that bfloat16 would round away.
    rounded = parameters(models["bfloat16"]).bfloat16().float()
    assert (parameters(models["bfloat16"]) != rounded).float().mean() > 0.9


@pytest.mark.parametrize(
    ("capability", "features", "expected"),
    [
        ("AVX512", {"avx512_f": True, "avx512_bf16": True}, "bfloat16"),
        ("AVX512", {"avx512_f": True, "avx512_bf16": False, "amx_bf16": True}, "bfloat16"),
        ("AVX512", {"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, "float32"),
        ("AVX2", {"avx512_bf16": True, "amx_bf16": True}, "float32"),  # limited on purpose
        ("DEFAULT", {"avx512_bf16": True}, "float32"),
        ("SVE256", {"bf16": True}, "float32"),
        ("AVX512", None, "float32"),  # a PyTorch that cannot tell
    ],
)
def test_auto_takes_bfloat16_where_the_cpu_has_it(monkeypatch, capability, features, expected):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    if features is None:
        monkeypatch.delattr(torch.cpu, "get_capabilities")
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features)
    assert resolve_precision("auto", "cpu") == expected
    assert resolve_precision("float32", "cpu") == "float32"
    assert resolve_precision("bfloat16", "cpu") == "bfloat16"
    assert resolve_precision("auto", "meta") == "float32"


@pytest.mark.parametrize(("major", "expected"), [(7, "float32"), (8, "bfloat16"), (9, "bfloat16")])
def test_auto_takes_bfloat16_on_recent_gpus(monkeypatch, major, expected):
    class Properties:
        def __init__(self):
            self.major = major

    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Properties())
    assert resolve_precision("auto", "cuda") == expected


def test_auto_is_float32_where_pytorch_is_limited_to_an_older_instruction_set(on_oldest_processor):
    capability, precision, _ = on_oldest_processor
    assert precision == "float32"
    assert "AVX" not in capability.replace("NO AVX", "")


def test_the_mnist_network_is_trained_in_float32_on_hardware_with_bfloat16(digits, monkeypatch):
    """The compiled engine is faster than bfloat16 in PyTorch."""
    expected, _ = trained(net(), digits, "fused")
    monkeypatch.setattr("pruncam.training.precision.has_bfloat16", lambda device: True)
    for engine in ("auto", "fused"):
        model = net()
        data = (digits.images, digits.labels, RECIPE, NOISY)
        fit(model, *data, seed=5, engine=engine, precision="auto")
        assert torch.equal(parameters(model), expected)


def test_an_unknown_precision_is_refused():
    message = "unknown precision 'float16': choose one of auto, float32, bfloat16"
    with pytest.raises(ValueError, match=message):
        resolve_precision("float16", "cpu")
    with pytest.raises(ValueError, match=message):
        fit(mnist_net(), IMAGES, LABELS, RECIPE, Inputs(), seed=0, precision="float16")


# ---------------------------------------------------------------- checkpoints


class Killed(Exception):
    """Ends a training in the middle."""


def killer(epochs):
    """Return a function for `after_epoch` that ends the training after so many epochs."""
    calls = []

    def after_epoch():
        calls.append(1)
        if len(calls) == epochs:
            raise Killed

    return after_epoch


def dropout_net():
    model = small_net()
    model[5] = nn.Sequential(nn.ReLU(), nn.Dropout(0.3))
    return pruning.global_unstructured(model, 0.4)


AUGMENTED = Recipe(((2, 0.05), (2, 0.01)), 16, weight_decay=1e-3, shift=1, mirror=True)
ONE_CYCLE = replace(
    AUGMENTED, schedule=OneCycle(4, 0.1, cutout=2), optimizer="nesterov", label_smoothing=0.1
)
ADAM = replace(AUGMENTED, schedule=((4, 0.003),), optimizer="adam")
CASES = {
    "SGD": (dropout_net, AUGMENTED, "torch", "float32"),
    "one cycle": (dropout_net, ONE_CYCLE, "torch", "float32"),
    "Adam": (dropout_net, ADAM, "torch", "float32"),
    "bfloat16": (dropout_net, AUGMENTED, "torch", "bfloat16"),
    "fused": (sparse_net, replace(RECIPE, schedule=((4, 0.05),)), "fused", "float32"),
}


@pytest.fixture
def fit_case(digits):
    """A function that trains a new network of a case and returns its tensors and the loss."""

    def run(case, **options):
        network, recipe, engine, precision = CASES[case]
        is_fused = engine == "fused"
        images, labels = (digits.images, digits.labels) if is_fused else colours()
        inputs = NOISY if is_fused else Inputs()
        model = network()
        loss = fit(
            model,
            images,
            labels,
            recipe,
            inputs,
            seed=4,
            engine=engine,
            precision=precision,
            **options,
        )
        return model.state_dict(), loss

    return run


def assert_same(first, second):
    """Assert that two results of `fit_case` are the same to the bit."""
    assert first[1] == second[1]
    assert first[0].keys() == second[0].keys()
    for name, value in first[0].items():
        assert torch.equal(value, second[0][name]), name


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("epochs", [1, 3, 4])
def test_an_interrupted_training_ends_with_the_same_bits(fit_case, tmp_path, case, epochs):
    expected = fit_case(case)
    path = tmp_path / "new folder" / "training.pt"
    with pytest.raises(Killed):
        fit_case(case, checkpoint=Checkpoint(path, pause=0), after_epoch=killer(epochs))
    assert path.is_file()
    calls = []
    checkpoint = Checkpoint(path, pause=0)
    result = fit_case(case, checkpoint=checkpoint, after_epoch=lambda: calls.append(1))
    assert_same(result, expected)
    assert len(calls) == 4, "one call for every epoch, those before the interruption included"
    assert not path.exists()
    assert_same(fit_case(case, checkpoint=checkpoint), expected)


def test_a_continued_training_trains_only_the_epochs_that_remain(fit_case, tmp_path, monkeypatch):
    path = tmp_path / "training.pt"
    with pytest.raises(Killed):
        fit_case("SGD", checkpoint=Checkpoint(path, pause=0), after_epoch=killer(3))
    epochs = []
    draw = training.fitting.draw_augmentation

    def record(*arguments):
        epochs.append(1)
        return draw(*arguments)

    monkeypatch.setattr(training.fitting, "draw_augmentation", record)
    fit_case("SGD", checkpoint=Checkpoint(path))
    assert len(epochs) == 1


def test_a_killed_process_leaves_a_checkpoint(tmp_path):
    path = tmp_path / "training.pt"
    program = """
import os, sys
from pathlib import Path
import test_training as tests
calls = []
def after_epoch():
    calls.append(1)
    if len(calls) == 2:
        os._exit(9)
checkpoint = tests.Checkpoint(Path(sys.argv[1]), pause=0)
data = tests.colours()
tests.fit(tests.small_net(), *data, tests.ONE_CYCLE, tests.Inputs(), seed=4,
          checkpoint=checkpoint, after_epoch=after_epoch)
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program, str(path)]
    process = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert process.returncode == 9, process.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["training.pt"]
    continued, expected = small_net(), small_net()
    fit(continued, *colours(), ONE_CYCLE, Inputs(), seed=4, checkpoint=Checkpoint(path))
    fit(expected, *colours(), ONE_CYCLE, Inputs(), seed=4)
    assert torch.equal(parameters(continued), parameters(expected))


def cut_in_half(content):
    return content[: len(content) // 2]


@pytest.mark.parametrize("damage", [cut_in_half, lambda content: b"not a checkpoint"])
def test_a_damaged_checkpoint_starts_again_with_a_warning(fit_case, tmp_path, damage):
    path = tmp_path / "training.pt"
    with pytest.raises(Killed):
        fit_case("SGD", checkpoint=Checkpoint(path, pause=0), after_epoch=killer(2))
    path.write_bytes(damage(path.read_bytes()))
    message = r"training.pt cannot be read \(\w+\): the training starts from the beginning"
    with pytest.warns(UserWarning, match=message):
        result = fit_case("SGD", checkpoint=Checkpoint(path, pause=0))
    assert_same(result, fit_case("SGD"))
    assert not path.exists()


def changed_start():
    model = small_net()
    model[0].weight.data[0, 0, 0, 0] += 1e-3
    return model


OTHER_TRAININGS = {
    "recipe": {"recipe": replace(AUGMENTED, batch_size=15)},
    "inputs": {"inputs": Inputs(mean=0.5)},
    "seed": {"seed": 6},
    "precision": {"precision": "bfloat16"},
    "initial weights": {"model": changed_start},
    "images": {"images": colours()[0].flip(3)},
    "labels": {"labels": colours()[1].flip(0)},
    "images, labels": {"images": colours(60)[0], "labels": colours(60)[1]},
}


@pytest.mark.parametrize("difference", OTHER_TRAININGS)
def test_a_checkpoint_of_another_training_is_refused(tmp_path, difference):
    path = tmp_path / "training.pt"
    images, labels = colours()
    settings = {
        "model": small_net,
        "images": images,
        "labels": labels,
        "recipe": AUGMENTED,
        "inputs": Inputs(),
        "seed": 5,
    }

    def run(model, **options):
        fit(model(), checkpoint=Checkpoint(path, pause=0), **options)

    with pytest.raises(Killed):
        run(**settings, after_epoch=killer(1))
    content = path.read_bytes()
    message = rf"training.pt belongs to another training \(different {difference}\): remove it or"
    with pytest.raises(ValueError, match=message):
        run(**(settings | OTHER_TRAININGS[difference]))
    assert path.read_bytes() == content
    run(**settings)


def test_a_file_that_is_no_checkpoint_is_refused_and_stays(tmp_path):
    path = tmp_path / "model.pt"
    torch.save(small_net().state_dict(), path)
    content = path.read_bytes()
    with pytest.raises(ValueError, match="model.pt is not a checkpoint: pass another path"):
        fit(small_net(), *colours(), RECIPE, Inputs(), seed=0, checkpoint=Checkpoint(path))
    assert path.read_bytes() == content


def test_a_checkpoint_is_written_after_a_pause_only(tmp_path, monkeypatch):
    """A clock on which an epoch takes four seconds: one of three is written."""
    path, clock, times = tmp_path / "training.pt", [100.0], []
    monkeypatch.setattr("pruncam.training.checkpoint.time.monotonic", lambda: clock[0])
    write = Checkpoint.write

    def record(self, *arguments):
        times.append(clock[0])
        write(self, *arguments)

    def after_epoch():
        clock[0] += 4

    monkeypatch.setattr(Checkpoint, "write", record)
    recipe = Recipe(((8, 0.01),), 70)
    checkpoint = Checkpoint(path, pause=10)
    fit(
        small_net(),
        *colours(),
        recipe,
        Inputs(),
        seed=0,
        checkpoint=checkpoint,
        after_epoch=after_epoch,
    )
    assert times == [112, 124]
    assert not path.exists()


def folder(path):
    path.mkdir()


def dangling_link(path):
    path.symlink_to("nothing")


@pytest.mark.parametrize("make", [os.mkfifo, folder, dangling_link])
def test_a_checkpoint_replaces_no_folder_pipe_or_link(tmp_path, make):
    """What is no regular file is refused before the training, which would remove it at its end."""
    path = tmp_path / "training.pt"
    make(path)
    before = path.lstat()
    with pytest.raises(ValueError, match=r"training.pt is (a folder|no regular file): pass anoth"):
        fit(small_net(), *colours(), RECIPE, Inputs(), seed=0, checkpoint=Checkpoint(path))
    assert (path.lstat().st_mode, path.lstat().st_ino) == (before.st_mode, before.st_ino)


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs Linux's /proc")
def test_a_checkpoint_where_no_file_can_be_written_is_refused_before_the_training():
    checkpoint = Checkpoint("/proc/self/mem")
    with pytest.raises(OSError, match="no checkpoint can be written to /proc/self .* another path"):
        fit(small_net(), *colours(), RECIPE, Inputs(), seed=0, checkpoint=checkpoint)


def test_auto_continues_a_training_with_the_engine_that_began_it(digits, tmp_path, monkeypatch):
    """As after numba was installed: the compiled engine would now train this network."""
    data = digits.images, digits.labels, replace(RECIPE, schedule=((3, 0.05),)), NOISY
    checkpoint = Checkpoint(tmp_path / "training.pt", pause=0)
    monkeypatch.setattr(training.engines.trainer, "available", lambda: False)
    with pytest.raises(Killed):
        fit(net(), *data, seed=4, checkpoint=checkpoint, after_epoch=killer(1))
    monkeypatch.undo()
    assert training.resolve_engine(net(), "auto", data[2]) == "fused"
    with pytest.raises(ValueError, match=r"another training \(different engine\)"):
        fit(net(), *data, seed=4, engine="fused", checkpoint=checkpoint)
    continued, expected = net(), net()
    loss = fit(continued, *data, seed=4, checkpoint=checkpoint)
    assert loss == fit(expected, *data, seed=4, engine="torch")
    assert torch.equal(parameters(continued), parameters(expected))


def test_auto_does_not_take_an_engine_that_cannot_train_here(tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path / "training.pt", pause=0)
    with pytest.raises(Killed):
        fit(
            small_net(),
            *colours(),
            AUGMENTED,
            Inputs(),
            seed=4,
            checkpoint=checkpoint,
            after_epoch=killer(1),
        )
    stored = checkpoint.read()
    checkpoint.write(stored.training | {"engine": "winograd"}, stored.state)
    with pytest.raises(ValueError, match=r"another training \(different engine\)"):
        fit(small_net(), *colours(), AUGMENTED, Inputs(), seed=4, checkpoint=checkpoint)


@pytest.mark.parametrize("checkpoint", ["training.pt", Path("training.pt"), True])
def test_anything_but_a_checkpoint_is_refused(checkpoint):
    with pytest.raises(TypeError, match="checkpoint must be a training.Checkpoint or None, got"):
        fit(mnist_net(), IMAGES, LABELS, RECIPE, Inputs(), seed=0, checkpoint=checkpoint)


def test_a_negative_pause_is_refused(tmp_path):
    with pytest.raises(ValueError, match="pause must be at least 0, got -1"):
        Checkpoint(tmp_path / "training.pt", pause=-1)


# ---------------------------------------------------------------- accuracy


def constant(logits):
    """Return a classifier with the same logits for every image, in eval mode only."""
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(4, len(logits)))
    nn.init.zeros_(model[2].weight)
    model[2].bias.data = torch.tensor(logits)
    return model


def test_accuracy_is_the_share_of_right_answers():
    labels = torch.tensor([2, 2, 0, 1, 2, 0, 2])
    assert (
        accuracy(constant([0.0, 1.0, 3.0]), torch.rand(7, 1, 2, 2), labels, batch_size=3) == 4 / 7
    )


class NeedsContiguous(nn.Module):
    """A network that flattens its maps by `view`, or checks that images are contiguous."""

    def __init__(self, checks):
        super().__init__()
        self.checks = checks
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4 * 36, 5)
        self.layouts = set()

    def forward(self, x):
        self.layouts.add(x.is_contiguous())
        assert x.is_contiguous() or not self.checks
        return self.fc(self.conv(x).view(len(x), -1))


@pytest.mark.parametrize("checks", [False, True])
def test_predictions_of_a_network_that_needs_contiguous_maps(checks):
    model, images = NeedsContiguous(checks), torch.rand(40, 3, 8, 8)
    expected = model(images).argmax(1)
    assert torch.equal(predictions(model, images, batch_size=32), expected)
    assert model.layouts == {True, False}, "channels last was not tried"


def test_predictions_are_the_highest_logits_of_the_prepared_images(digits):
    model = net(3)
    x = NOISY.normalize(digits.images)
    expected = torch.stack([model(x[k : k + 1])[0].argmax() for k in range(len(x))])
    predicted = predictions(model, digits.images, prepare=NOISY.normalize, batch_size=7)
    assert torch.equal(predicted, expected)
    assert torch.equal(predictions(model, x), expected)
    right = int((expected == digits.labels).sum())
    measured = accuracy(model, digits.images, digits.labels, prepare=NOISY.normalize)
    assert measured == right / len(x)


def test_accuracy_counts_what_the_network_says_image_by_image(digits):
    model = net(3)
    x = NOISY.normalize(digits.images)
    right = sum(
        int(model(x[k : k + 1])[0].argmax()) == int(digits.labels[k]) for k in range(len(x))
    )
    assert accuracy(model, x, digits.labels) == right / len(x)


def test_accuracy_restores_the_mode_of_every_layer_also_after_an_error():
    model = constant([1.0, 0.0]).train()
    model[1].eval()
    modes = [module.training for module in model.modules()]
    accuracy(model, torch.rand(4, 1, 2, 2), torch.zeros(4, dtype=torch.int64))
    assert [module.training for module in model.modules()] == modes
    with pytest.raises(ValueError, match="cannot take images of shape \\(1, 3, 3\\)"):
        accuracy(model, torch.rand(4, 1, 3, 3), torch.zeros(4, dtype=torch.int64))
    assert [module.training for module in model.modules()] == modes


@pytest.mark.parametrize(
    ("inputs", "labels", "message"),
    [
        (
            torch.zeros(2, 1, 2, 2, dtype=torch.uint8),
            torch.zeros(2).long(),
            "float network input, got torch.uint8",
        ),
        (torch.rand(2, 1, 2, 2), torch.zeros(2, 1).long(), "class indices .* got .*\\(2, 1\\)"),
        (torch.rand(2, 1, 2, 2), torch.zeros(2), "class indices .* got .*float32"),
        (torch.full((2, 1, 2, 2), torch.nan), torch.zeros(2).long(), "logits are NaN"),
    ],
)
def test_accuracy_refuses_what_it_cannot_judge(inputs, labels, message):
    with pytest.raises(ValueError, match=message):
        accuracy(constant([1.0, 0.0]), inputs, labels)
    with pytest.raises(TypeError, match="images and labels as tensors, got list and list"):
        accuracy(constant([1.0, 0.0]), [1], [1])


def test_inputs_are_scaled_to_the_unit_range_and_normalised():
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8)
    assert Inputs().normalize(pixels).tolist() == pytest.approx([0, 0.2, 1])
    # OpenLTH's MNIST: (x - 0.1307) / 0.3081
    assert NOISY.normalize(pixels).tolist() == pytest.approx([-0.42421, 0.22493, 2.82149], abs=1e-5)


def dilated():
    """Return a network of the same shapes: 28 - 4 = 24, 12, 10, 5, and 8 x 25 = 200 features."""
    model = mnist_net()
    model.conv1 = nn.Conv2d(1, 4, 3, dilation=2)
    return model


def changed(**layers):
    model = mnist_net()
    for name, layer in layers.items():
        setattr(model, name, layer)
    return model


class SameLayers(nn.Module):
    """The MNIST network's layers under another forward pass."""

    def __init__(self):
        super().__init__()
        for name, layer in mnist_net().named_children():
            self.add_module(name, layer)


OTHERS = {
    "padding": changed(conv1=nn.Conv2d(1, 4, 3, padding=1)),
    "stride": changed(conv1=nn.Conv2d(1, 4, 3, stride=2)),
    "dilated convolution": dilated(),
    "dilated pooling": changed(pool2=nn.MaxPool2d(2, dilation=2)),
    "other pooling": changed(pool1=nn.AvgPool2d(2)),
    "overlapping pooling": changed(pool1=nn.MaxPool2d(2, stride=1)),
    "other activation": changed(relu2=nn.LeakyReLU()),
    "no bias": changed(fc=nn.Linear(200, 10, bias=False)),
    "more classes": changed(fc=nn.Linear(200, 11)),
    "float64": mnist_net().double(),
    "extra layer": nn.Sequential(*mnist_net(), nn.ReLU()),
    "one weight frozen": changed(fc=nn.Linear(200, 10).requires_grad_(False)),
    "another forward pass": SameLayers(),
    "pruned by PyTorch": changed(conv1=prune.l1_unstructured(nn.Conv2d(1, 4, 3), "weight", 0.5)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_the_fused_engine_refuses_networks_that_it_would_train_wrongly(name):
    assert not trainer.supports(OTHERS[name])
    assert training.resolve_engine(OTHERS[name], "auto", RECIPE) == "torch"
    with pytest.raises(ValueError, match="only the MNIST network .* use engine 'torch'"):
        training.resolve_engine(OTHERS[name], "fused", RECIPE)


def test_the_fused_engine_takes_the_network_with_and_without_masks():
    assert training.resolve_engine(mnist_net(), "auto", RECIPE) == "fused"
    assert training.resolve_engine(sparse_net(), "auto", RECIPE) == "fused"
    assert training.resolve_engine(mnist_net(), "torch", RECIPE) == "torch"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("rate", [1e2, 1e8, 1e20])
def test_a_training_that_diverges_says_so(digits, engine, rate):
    message = rf"the loss became \S+ in epoch 1: lower the learning rate \({re.escape(f'{rate:g}')}"
    for seed in range(3):
        with pytest.raises(ValueError, match=message):
            trained(net(seed), digits, engine, Recipe(((2, rate),), 32))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["conv2.weight", "fc.bias"])
def test_a_model_with_a_weight_that_is_not_finite_is_refused(digits, engine, value, name):
    model = net()
    model.get_parameter(name).data.view(-1)[3] = value
    message = f"{name} has NaN or infinite values before the training"
    with pytest.raises(ValueError, match=message):
        trained(model, digits, engine)


def test_statistics_of_batch_norm_that_are_not_finite_are_refused():
    model = small_net()
    model[1].running_var[2] = math.inf
    with pytest.raises(ValueError, match="1.running_var has NaN .* before the training"):
        fit(model, *colours(), RECIPE, Inputs(), seed=0)
    # The variance overflows, which turns the layer's output and the loss into ordinary numbers.
    model = small_net()
    model[0].weight.data *= 1e25
    with pytest.raises(ValueError, match="1.running_var has NaN .* after epoch 1: lower the"):
        fit(model, *colours(), RECIPE, Inputs(), seed=0)


def test_a_buffer_that_is_infinite_on_purpose_is_accepted():
    model = small_net()
    model.register_buffer("attention_mask", torch.full((3, 3), -math.inf).triu(1))
    assert math.isfinite(fit(model, *colours(), RECIPE, Inputs(), seed=0))


IMAGES, LABELS = torch.zeros(4, 1, 28, 28, dtype=torch.uint8), torch.tensor([0, 1, 2, 3])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES, LABELS[:3], "one label per image, got 3 labels for 4 images"),
        (IMAGES[:0], LABELS[:0], "at least one image"),
        (IMAGES.float(), LABELS, "uint8 images"),
        (IMAGES[:, 0], LABELS, "uint8 images \\(N, C, H, W\\)"),
        (IMAGES, LABELS.int(), "int64 labels"),
        (IMAGES, -LABELS, "class indices from 0, got -3"),
    ],
)
def test_data_that_cannot_be_trained_on_are_refused(engine, images, labels, message):
    with pytest.raises(ValueError, match=message):
        fit(mnist_net(), images, labels, RECIPE, Inputs(), seed=0, engine=engine)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES, LABELS + 7, "classes 0 to 9, got labels from 7 to 10"),
        (
            IMAGES.expand(-1, 3, -1, -1),
            LABELS,
            "cannot take images of shape \\(3, 28, 28\\): Given groups=1",
        ),
        (
            torch.zeros(4, 1, 29, 29, dtype=torch.uint8),
            LABELS,
            "1x28x28, got torch.uint8 of shape \\(4, 1, 29, 29\\)",
        ),
        (IMAGES[:, :, :14], LABELS, "cannot take images of shape \\(1, 14, 28\\): "),
    ],
)
def test_compiled_code_never_sees_data_beyond_its_arrays(images, labels, message):
    with pytest.raises(ValueError, match=message):
        fit(mnist_net(), images, labels, RECIPE, Inputs(), seed=0, engine="fused")


@pytest.mark.parametrize(
    ("model", "engine", "message"),
    [
        (mnist_net(), "jax", "unknown engine 'jax': choose one of auto, torch, winograd, fused"),
        (pruning.make_permanent(mnist_net()), "auto", "no parameter .* requires gradients"),
    ],
)
def test_models_and_engines_that_do_not_fit_are_refused(model, engine, message):
    with pytest.raises(ValueError, match=message):
        fit(model, IMAGES, LABELS, RECIPE, Inputs(), seed=0, engine=engine)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"schedule": ()}, "schedule is"),
        ({"schedule": ((0, 0.1),)}, "both above 0"),
        ({"schedule": ((1, 0.0),)}, "both above 0"),
        ({"schedule": ((1, float("nan")),)}, "both above 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"momentum": 1.0}, "momentum must be in \\[0, 1\\)"),
        ({"weight_decay": -1.0}, "weight_decay not negative"),
        ({"weight_decay": float("nan")}, "weight_decay not negative"),
        ({"optimizer": "nesterov", "momentum": 0}, "'nesterov' needs a momentum above 0, got 0"),
        ({"label_smoothing": 1.0}, "label_smoothing must be in \\[0, 1\\), got 1.0"),
        ({"label_smoothing": -0.1}, "label_smoothing must be in \\[0, 1\\), got -0.1"),
        ({"optimizer": "lion"}, "unknown optimizer 'lion': choose one of sgd, nesterov, adam"),
        ({"shift": -1}, "shift must be at least 0, got -1"),
    ],
)
def test_recipes_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**({"schedule": ((1, 0.1),), "batch_size": 8} | arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0.1), "epochs must be at least 1, got 0"),
        ((1.5, 0.1), "epochs must be a whole number of at least 1, got 1.5"),
        ((3, 0.0), "a finite peak above 0 and a warmup in \\(0, 1\\), got 0.0 and 0.2"),
        ((3, math.inf), "a finite peak above 0"),
        ((3, math.nan), "a finite peak above 0"),
        ((3, 0.1, 0.0), "a warmup in \\(0, 1\\), got 0.1 and 0.0"),
        ((3, 0.1, 0.2, -1), "cutout must be at least 0, got -1"),
        ((3, 0.1, 0.2, 1.5), "cutout must be a whole number of at least 0, got 1.5"),
        ((3, 0.1, 1.0), "a warmup in \\(0, 1\\), got 0.1 and 1.0"),
    ],
)
def test_one_cycle_schedules_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        OneCycle(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [{"noise": 256}, {"noise": -1}, {"std": 0.0}, {"std": float("nan")}, {"mean": float("inf")}],
)
def test_inputs_that_make_no_sense_are_refused(arguments):
    with pytest.raises(
        ValueError, match="noise must be a grey level from 0 to 255, mean finite and std positive"
    ):
        Inputs(**arguments)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (4, 3, "one label per image, got 3 labels for 4 images"),
        (0, 0, "at least one image is required"),
    ],
)
def test_accuracy_needs_a_label_for_every_image(images, labels, message):
    with pytest.raises(ValueError, match=message):
        accuracy(
            mnist_net(), torch.zeros(images, 1, 28, 28), torch.zeros(labels, dtype=torch.int64)
        )


@pytest.mark.parametrize("method", ["kaiming-normal", "pytorch"])
def test_initial_weights_are_drawn_as_named_and_from_the_seed_alone(method):
    first = initialize(mnist_net(), method, 1)
    assert torch.equal(parameters(initialize(mnist_net(), method, 1)), parameters(first))
    assert not torch.equal(parameters(initialize(mnist_net(), method, 2)), parameters(first))
    # Standard deviations: sqrt(2 / fan-in) (He et al. 2015); PyTorch draws uniformly within
    # 1 / sqrt(fan-in), which gives 1 / sqrt(3 fan-in).
    expected = (2 / 200) ** 0.5 if method == "kaiming-normal" else (1 / 200) ** 0.5 / 3**0.5
    assert first.fc.weight.std().item() == pytest.approx(expected, rel=0.06)
    assert first.fc.bias.abs().max() <= 1 / 200**0.5
    with pytest.raises(
        ValueError, match="unknown initial weights 'zeros': choose one of kaiming-normal, pytorch"
    ):
        initialize(mnist_net(), "zeros", 1)


def test_networks_that_are_initialised_at_the_same_time_do_not_disturb_each_other():
    alone = [parameters(initialize(mnist_net(), "kaiming-normal", seed)) for seed in range(8)]
    state = torch.random.get_rng_state()
    networks = [mnist_net() for _ in alone]
    torch.random.set_rng_state(state)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(25):
            list(pool.map(lambda k: initialize(networks[k], "kaiming-normal", k), range(8)))
            assert all(torch.equal(parameters(networks[k]), alone[k]) for k in range(8))
    assert torch.equal(torch.random.get_rng_state(), state), "the global random state was touched"


def test_initial_weights_are_those_of_pytorchs_own_functions():
    """They equal `reset_parameters` and `kaiming_normal_` in float64 with the same global seed."""
    uniform, normal = (
        initialize(mnist_net(), method, 12) for method in ("pytorch", "kaiming-normal")
    )
    expected = mnist_net().double()
    torch.manual_seed(12)
    layers = (expected.conv1, expected.conv2, expected.fc)
    for layer in layers:
        layer.reset_parameters()
    assert torch.equal(parameters(uniform), parameters(expected).float())
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight)
    assert torch.equal(parameters(normal), parameters(expected).float())


TRAIN = """
import hashlib
from pruncam.datasets import catalog
from pruncam.networks import cifar_net, initialize, mnist_net
from pruncam.pruning import lottery_step
from pruncam.training import Inputs, Recipe, fit
digits, digest = catalog.load("digits", "train").first(500), hashlib.sha256()
for method in ("pytorch", "kaiming-normal"):
    model = lottery_step(initialize(mnist_net(), method, 5))
    recipe = Recipe(((3, 0.05),), batch_size=32, weight_decay=1e-4)
    inputs = Inputs(noise=51, mean=0.1307, std=0.3081)
    fit(model, digits.images, digits.labels, recipe, inputs, seed=5, engine="fused")
    for parameter in model.parameters():
        digest.update(parameter.detach().numpy().tobytes())
"""
# In a child process: the capability, the precision chosen, and the digest, a line each.
ON_OLDEST = f"""
import torch
from pruncam.training import resolve_precision
torch.cpu.get_capabilities = lambda: {{"avx512_bf16": True, "amx_bf16": True}}
print(torch.backends.cpu.get_cpu_capability())
print(resolve_precision("auto", "cpu"))
{TRAIN}
print(digest.hexdigest())
"""


@pytest.fixture(scope="module")
def on_oldest_processor():
    """The lines of ON_OLDEST on the oldest CPU of the kind (x86-64 without AVX or FMA).

    Compiling takes half a minute; numba keeps the code, apart from that for this processor.
    """
    oldest = {
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "",
        "ATEN_CPU_CAPABILITY": "default",
    }
    process = subprocess.run(
        [sys.executable, "-c", ON_OLDEST],
        env=os.environ | oldest,
        check=True,
        capture_output=True,
        text=True,
    )
    return process.stdout.splitlines()


def test_the_fused_engine_trains_to_the_same_bits_on_another_processor(on_oldest_processor):
    here = {}
    exec(TRAIN, here)
    assert on_oldest_processor[2] == here["digest"].hexdigest()


@pytest.mark.parametrize("names", [(), ("noise", 4), ("order", "a/b")])
def test_the_seed_of_a_stream_is_a_hash_of_its_name(names):
    text = "/".join(["333", *map(str, names)])
    assert derive(333, *names) == int(hashlib.sha256(text.encode()).hexdigest()[:16], 16) // 2


def test_dropout_is_a_function_of_the_seed_and_leaves_the_global_state_alone():
    images = torch.randint(
        0, 256, (40, 1, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    labels = torch.arange(40) % 2
    start = nn.Sequential(nn.Flatten(), nn.Linear(36, 20), nn.Dropout(0.5), nn.Linear(20, 2))
    recipe, weights = Recipe(((2, 0.1),), 10), []
    for seed, state in ((1, 5), (1, 6), (2, 5)):
        torch.manual_seed(state)
        expected, model = torch.get_rng_state(), copy.deepcopy(start)
        fit(model, images, labels, recipe, Inputs(), seed=seed)
        assert (torch.get_rng_state() == expected).all()
        weights.append(model[1].weight.detach())
    first, same, other = weights
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
