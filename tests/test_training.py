"""Training: the two engines against each other and against an explicit loop, and rejected input."""

import copy
import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from pruncam import pruning, training
from pruncam._core.seeds import derive, generator
from pruncam.datasets import catalog, noise
from pruncam.networks import initialize, mnist_net
from pruncam.training import Inputs, Recipe, accuracy, fit, predictions
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


def parameters(model):
    return nn.utils.parameters_to_vector(model.parameters()).detach()


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


class Recorder(nn.Module):
    """A classifier that records the images it is trained on."""

    def __init__(self):
        super().__init__()
        self.linear, self.seen = nn.LazyLinear(10), []

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
    model = Recorder()
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


@pytest.mark.parametrize("change", [{"optimizer": "adam"}, {"shift": 1}, {"mirror": True}], ids=str)
def test_the_fused_engine_refuses_recipes_that_it_does_not_know(change):
    recipe = Recipe(((1, 0.01),), 32, **change)
    assert training.resolve_engine(mnist_net(), "auto", recipe) == "torch"
    with pytest.raises(ValueError, match="by SGD without augmentation: use engine 'torch'"):
        training.resolve_engine(mnist_net(), "fused", recipe)


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
    assert (
        Recipe(((5, 0.01), (3, 0.001), (2, 0.0001)), 128).learning_rates
        == [0.01] * 5 + [0.001] * 3 + [0.0001] * 2
    )


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
def test_a_training_that_diverges_says_so(digits, engine):
    with pytest.raises(
        ValueError, match="the loss became (nan|inf) in epoch 1: lower the learning rate"
    ):
        trained(net(), digits, engine, Recipe(((2, 1e20),), 32))


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
        (mnist_net(), "jax", "unknown engine 'jax': choose one of auto, torch, fused"),
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
        ({"optimizer": "lion"}, "unknown optimizer 'lion': choose one of sgd, adam"),
        ({"shift": -1}, "shift must be at least 0, got -1"),
    ],
)
def test_recipes_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**({"schedule": ((1, 0.1),), "batch_size": 8} | arguments))


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
from pruncam.networks import initialize, mnist_net
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
print(digest.hexdigest())
"""


def test_the_fused_engine_trains_to_the_same_bits_on_another_processor(tmp_path):
    """Compile for the oldest CPU of the kind (x86-64 without AVX or FMA), and load cached code."""
    oldest = {
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "",
        "ATEN_CPU_CAPABILITY": "default",
    }
    # The second run loads the code that the first has compiled.
    runs = [("here", {}), ("here", {}), ("there", oldest)]
    digests = set()
    for cache, setting in runs:
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / cache)} | setting
        command = [sys.executable, "-c", TRAIN]
        digests.add(
            subprocess.run(
                command, env=environment, check=True, capture_output=True, text=True
            ).stdout
        )
    assert len(digests) == 1


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
