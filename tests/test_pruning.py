"""Pruning: exact counts, comparison with PyTorch, and masks through copies, files and training."""

import copy
import io
import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn import utils
from torch.nn.utils import parametrizations, parametrize, prune

from pruncam import pruning
from pruncam.networks import initialize, mnist_net

# PAPERS.md, "Pruning rule": of n weights ceil(0.2 n) + 1 go; 2,324 down to the thesis's 0.09 %
SERIES = [
    1858,
    1485,
    1187,
    948,
    757,
    604,
    482,
    384,
    306,
    243,
    193,
    153,
    121,
    95,
    75,
    59,
    46,
    35,
    27,
    20,
    15,
    11,
    7,
    4,
    2,
]


def small_net(seed=0):
    """Return a network of 108 + 216 + 240 = 564 prunable weights, with BatchNorm and biases."""
    torch.manual_seed(seed)
    block = nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU())
    return nn.Sequential(nn.Conv2d(3, 4, 3), block, nn.Flatten(), nn.Linear(24, 10))


def one_layer(weights):
    model = nn.Sequential(nn.Linear(len(weights), 1))
    model[0].weight.data = torch.tensor([weights])
    return model


def flat(tensors):
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def weights(model):
    return flat(module.weight for module in pruning.prunable(model).values())


def flat_mask(model):
    masks = pruning.masks(model)
    return flat(
        masks.get(f"{name}.weight", torch.ones_like(module.weight))
        for name, module in pruning.prunable(model).items()
    )


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def train_without_knowing_of_masks(model, steps=5):
    """A loop of somebody else."""
    torch.manual_seed(1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(8, 3, 6, 6)).square().sum().backward()
        optimizer.step()
    return model


# ---------------------------------------------------------------- the lottery ticket rule


def openlth(magnitudes, mask, fraction=0.2):
    """Apply OpenLTH's rule to numbers: keep those above the sorted value of rank ceil(f n)."""
    remaining = sorted(m for m, keep in zip(magnitudes, mask, strict=True) if keep)
    threshold = remaining[math.ceil(fraction * len(remaining))]
    return [int(keep and m > threshold) for m, keep in zip(magnitudes, mask, strict=True)]


@pytest.mark.parametrize("seed", [0, 333])
def test_lottery_steps_leave_the_counts_of_the_thesis(seed):
    model = initialize(mnist_net(), "kaiming-normal", seed)
    counts = []
    for _ in SERIES:
        model = pruning.lottery_step(model)
        counts.append(int(flat_mask(model).sum()))
    assert counts == SERIES
    assert pruning.sparsity(model) == pytest.approx(1 - 0.0009, abs=5e-5)


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.integers(-6, 6), min_size=4, max_size=60),
    fraction=st.sampled_from([0.2, 0.5, 0.05, 0.7]),
    steps=st.integers(1, 3),
)
def test_lottery_steps_follow_openlths_rule_also_where_weights_are_equal(values, fraction, steps):
    model, mask = one_layer([float(value) for value in values]), [1] * len(values)
    for _ in range(steps):
        if math.ceil(fraction * sum(mask)) >= sum(mask):
            with pytest.raises(ValueError, match="weights? remain, too few to prune"):
                pruning.lottery_step(model, fraction)
            return
        mask = openlth([abs(value) for value in values], mask, fraction)
        model = pruning.lottery_step(model, fraction)
        assert flat_mask(model).tolist() == mask
        assert weights(model).tolist() == [
            value * keep for value, keep in zip(values, mask, strict=True)
        ]


def test_lottery_steps_follow_openlths_rule_on_a_network():
    model = initialize(mnist_net(), "pytorch", 4)
    magnitudes = weights(model).abs().tolist()
    mask = [1] * 2324
    for _ in range(4):
        mask = openlth(magnitudes, mask)
        model = pruning.lottery_step(model)
        assert flat_mask(model).tolist() == mask


def test_lottery_masks_are_nested_over_retraining_and_rewinding():
    start = small_net()
    model, previous = start, torch.ones(564)
    for _ in range(5):
        model = pruning.rewind(pruning.lottery_step(model), start)
        now = flat_mask(model)
        assert (now <= previous).all() and now.sum() < previous.sum()
        assert torch.equal(weights(model), weights(start) * now)
        model, previous = train_without_knowing_of_masks(model), now


def test_a_lottery_step_changes_neither_the_given_model_nor_anything_but_conv_and_fc_weights():
    model = small_net()
    before = state(model)
    stepped = pruning.lottery_step(model)
    assert same(state(model), before) and not pruning.masks(model)
    untouched = {name for name in before if name not in pruning.masks(stepped)}
    assert "0.bias" in untouched and "1.1.weight" in untouched  # biases, BatchNorm
    assert all(torch.equal(stepped.state_dict()[name], before[name]) for name in untouched)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_lottery_steps_refuse_fractions_that_are_none(fraction):
    with pytest.raises(
        ValueError, match="fraction of the remaining weights to prune must be in \\(0, 1\\)"
    ):
        pruning.lottery_step(small_net(), fraction)


def test_lottery_steps_end_where_too_few_weights_remain():
    with pytest.raises(
        ValueError, match="1 weights remain, too few to prune 20% of them once more"
    ):
        pruning.lottery_step(one_layer([3.0]))


# ---------------------------------------------------------------- global unstructured pruning


def by_pytorch(model, amount, kinds=(nn.Conv2d, nn.Linear), method=prune.L1Unstructured):
    """Prune `model` itself with PyTorch's own function; returns the flat mask."""
    modules = [module for module in model.modules() if isinstance(module, kinds)]
    prune.global_unstructured([(module, "weight") for module in modules], method, amount=amount)
    return flat(module.weight_mask for module in modules)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    amount=st.one_of(st.just(0.0), st.floats(0.001, 0.999)),
    layers=st.sampled_from([("conv", "linear"), ("conv",), ("linear",)]),
)
def test_l1_masks_are_those_of_pytorch(seed, amount, layers):
    kinds = tuple({"conv": nn.Conv2d, "linear": nn.Linear}[name] for name in layers)
    ours = pruning.global_unstructured(small_net(seed), amount, layers=layers)
    expected = by_pytorch(small_net(seed), amount, kinds)
    assert torch.equal(flat(pruning.masks(ours).values()), expected)


@pytest.mark.parametrize("count", range(5))
def test_of_equal_weights_the_first_are_pruned(count):
    net = nn.Sequential(nn.Linear(5, 1))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, -1.0, 0.0, 1.0, 2.0]]))
    (mask,) = pruning.masks(pruning.global_unstructured(net, count / 5)).values() or [
        torch.ones(1, 5)
    ]
    order = [2, 0, 1, 3, 4]  # by magnitude, then by place
    assert mask[0].tolist() == [float(number not in order[:count]) for number in range(5)]


def test_repeated_pruning_counts_what_is_left_as_pytorch_does():
    ours, theirs = small_net(), small_net()
    for amount in (0.2, 0.5, 0.33, 0.0, 0.9):
        ours = pruning.global_unstructured(ours, amount)
        assert torch.equal(flat_mask(ours), by_pytorch(theirs, amount))


@pytest.mark.parametrize("method", ["l1", "random"])
def test_three_times_a_fifth_is_not_three_fifths(method):
    model, sparsities = small_net(), []
    for step in range(3):
        model = pruning.global_unstructured(model, 0.2, method=method, seed=step)
        sparsities.append(pruning.sparsity(model))
    assert sparsities == pytest.approx([0.2, 0.36, 0.488], abs=2 / 564)


@pytest.mark.parametrize("amount", [0, 0.2, 0.5, 0.987])
def test_random_pruning_prunes_the_exact_number_wherever_the_seed_says(amount):
    one, again, other = (
        pruning.global_unstructured(small_net(), amount, method="random", seed=seed)
        for seed in (1, 1, 2)
    )
    assert (
        int((flat_mask(one) == 0).sum())
        == int((flat_mask(other) == 0).sum())
        == round(amount * 564)
    )
    assert torch.equal(flat_mask(one), flat_mask(again))
    assert amount == 0 or not torch.equal(flat_mask(one), flat_mask(other))


def test_random_pruning_takes_from_every_layer_its_share():
    model = nn.Sequential(nn.Linear(100, 100), nn.Linear(100, 50))
    pruned = pruning.global_unstructured(model, 0.3, method="random", seed=3)
    shares = [float((mask == 0).float().mean()) for mask in pruning.masks(pruned).values()]
    assert shares == pytest.approx(
        [0.3, 0.3], abs=4 * (0.3 * 0.7 / 5000) ** 0.5
    )  # four standard errors


def test_of_equal_magnitudes_the_first_in_the_models_order_go():
    pruned = pruning.global_unstructured(one_layer([1.0, -1.0, 1.0, 1.0]), 0.5)
    assert flat_mask(pruned).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("method", ["l1", "random"])
def test_an_amount_of_zero_gives_an_unpruned_copy(method):
    model = small_net()
    copied = pruning.global_unstructured(model, 0, method=method)
    assert copied is not model and pruning.sparsity(copied) == 0
    assert torch.equal(weights(copied), weights(model))


def test_pruning_leaves_the_given_model_and_other_parameters_alone():
    model = small_net()
    before = state(model)
    pruned = pruning.global_unstructured(model, 0.9)
    assert same(state(model), before) and not pruning.masks(model)
    assert all(
        torch.equal(pruned.state_dict()[name], before[name])
        for name in before
        if name.endswith("bias")
    )
    assert torch.equal(pruned[1][1].weight, model[1][1].weight)  # BatchNorm


def test_pruning_one_kind_of_layer_keeps_the_masks_of_the_other():
    linear = pruning.global_unstructured(small_net(), 0.5, layers=("linear",))
    both = pruning.global_unstructured(linear, 0.5, layers=("conv",))
    assert pruning.masks(both).keys() == {"0.weight", "1.0.weight", "3.weight"}
    assert torch.equal(pruning.masks(both)["3.weight"], pruning.masks(linear)["3.weight"])
    assert pruning.sparsity(both) == pytest.approx(0.5, abs=2 / 564)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"amount": 1}, "amount is the fraction of weights to prune, in \\[0, 1\\), got 1"),
        ({"amount": -0.1}, "got -0.1"),
        ({"amount": float("nan")}, "got nan"),
        ({"amount": 20}, "got 20"),
        ({"method": "l2"}, "unknown pruning method 'l2': choose one of l1, random"),
        ({"layers": ("conv", "norm")}, "layers must be taken from conv, linear"),
        ({"layers": ()}, "layers must be taken from conv, linear"),
    ],
)
def test_pruning_refuses_arguments_that_make_no_sense(arguments, message):
    with pytest.raises(ValueError, match=message):
        pruning.global_unstructured(small_net(), **({"amount": 0.5} | arguments))


@pytest.mark.parametrize(
    "prune_model", [lambda m: pruning.global_unstructured(m, 0.5), pruning.lottery_step]
)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_cannot_be_ranked(prune_model, value):
    model = small_net()
    model[3].weight.data[2, 5] = value
    with pytest.raises(ValueError, match="weights that are nan or infinite"):
        prune_model(model)


@pytest.mark.parametrize(
    "prune_model", [lambda m: pruning.global_unstructured(m, 0.5), pruning.lottery_step]
)
def test_a_model_without_conv_and_fc_layers_has_nothing_to_prune(prune_model):
    with pytest.raises(
        ValueError, match="nothing to prune: Sequential has no conv or linear layer"
    ):
        prune_model(nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()))


# ---------------------------------------------------------------- masks through a model's life


@pytest.fixture
def pruned():
    return pruning.global_unstructured(small_net(), 0.7)


def test_masks_survive_a_training_loop_that_knows_nothing_of_them(pruned):
    before, mask = weights(pruned), flat_mask(pruned)
    train_without_knowing_of_masks(pruned)
    assert pruning.sparsity(pruned) == pytest.approx(
        0.7, abs=1 / 564
    )  # also before the next forward pass
    pruned(torch.randn(1, 3, 6, 6))
    assert torch.equal(weights(pruned) == 0, mask == 0)
    assert torch.equal(flat_mask(pruned), mask)
    assert (weights(pruned) != before)[mask == 1].float().mean() > 0.9


def test_a_trained_masked_model_computes_as_one_with_masks_multiplied_in(pruned):
    """The hook equals PyTorch's own masking, weight = weight_orig * mask."""
    theirs = copy.deepcopy(pruning.drop_masks(pruned))
    for name, mask in pruning.masks(pruned).items():
        prune.custom_from_mask(theirs.get_submodule(name.removesuffix(".weight")), "weight", mask)
    ours, theirs = (train_without_sgd_memory(model) for model in (pruned, theirs))
    x = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(3))
    assert torch.allclose(ours.eval()(x), theirs.eval()(x), atol=1e-5)


def train_without_sgd_memory(model):
    torch.manual_seed(2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(5):
        optimizer.zero_grad()
        model(torch.randn(8, 3, 6, 6)).square().mean().backward()
        optimizer.step()
    return model


def test_two_forward_passes_may_precede_one_backward_pass(pruned):
    (pruned(torch.randn(2, 3, 6, 6)).sum() + pruned(torch.randn(2, 3, 6, 6)).sum()).backward()
    assert all(parameter.grad is not None for parameter in pruned.parameters())


class UsesWeightsItself(nn.Module):
    """A convolution and two FC layers whose weights are used without a call of the layers."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        tokens = F.conv2d(x, self.conv.weight, self.conv.bias).flatten(2).transpose(1, 2)
        features = self.attention(tokens, tokens, tokens)[0].mean(1)
        return F.linear(F.normalize(features, dim=1), F.normalize(self.head.weight, dim=1))


def revived(model):
    """Return how many pruned weights are not zero."""
    pairs = ((model.get_parameter(name), mask) for name, mask in pruning.masks(model).items())
    return sum(int((weight[mask == 0] != 0).sum()) for weight, mask in pairs)


def from_a_file(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("make", [lambda model: model, copy.deepcopy, from_a_file])
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_masks_hold_where_weights_are_used_without_a_call_of_their_layer(make, optimizer):
    torch.manual_seed(0)
    model = make(pruning.global_unstructured(UsesWeightsItself(), 0.5))
    assert set(pruning.masks(model)) == {
        "conv.weight",
        "attention.out_proj.weight",
        "head.weight",
    }
    steps = optimizer(model.parameters(), lr=0.1)
    before = weights(model)
    for _ in range(2):
        model(torch.randn(5, 1, 6, 6)).square().sum().backward()
        steps.step()
        assert revived(model) == 0 and pruning.sparsity(model) == 0.5
    assert (weights(model) != before).any(), "nothing was trained"


def test_momentum_from_before_the_mask_revives_no_weight():
    torch.manual_seed(0)
    model = UsesWeightsItself()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.randn(5, 1, 6, 6)).square().sum().backward()
    optimizer.step()
    pruning.attach_masks(model, {"head.weight": torch.zeros(3, 4)})
    optimizer.step()
    assert revived(model) == 0


def test_states_hold_no_revived_weights(pruned):
    dense = {name: torch.ones_like(value) for name, value in small_net().state_dict().items()}
    pruned.load_state_dict(dense, strict=False)
    assert revived(pruned) == 0
    pruned[0].weight.data.add_(1)  # by hand, which no optimizer's hook sees
    assert (pruned.state_dict()["0.weight"][pruning.masks(pruned)["0.weight"] == 0] == 0).all()


def test_an_optimizer_leaves_models_without_masks_alone(pruned):
    free = pruning.drop_masks(pruned)
    train_without_knowing_of_masks(free)
    assert pruning.sparsity(free) < 0.05


def test_copies_keep_their_masks_and_share_nothing(pruned):
    copied = copy.deepcopy(pruned)
    before = state(pruned)
    train_without_knowing_of_masks(copied)
    assert pruning.sparsity(copied) == pruning.sparsity(pruned)
    assert same(state(pruned), before)


def test_a_saved_model_comes_back_with_its_masks(pruned, tmp_path):
    train_without_knowing_of_masks(pruned)
    torch.save(pruned.state_dict(), tmp_path / "model.pt")
    loaded = pruning.load_state(small_net(9), torch.load(tmp_path / "model.pt", weights_only=True))
    assert pruning.sparsity(loaded) == pruning.sparsity(pruned)
    assert torch.equal(
        weights(loaded) == 0, flat_mask(pruned) == 0
    )  # although the last step had moved them
    x = torch.randn(2, 3, 6, 6)
    assert torch.equal(loaded.eval()(x), pruned.eval()(x))
    train_without_knowing_of_masks(loaded)
    assert torch.equal(flat_mask(loaded), flat_mask(pruned))


def test_an_unpruned_models_state_is_loaded_as_it_is():
    loaded = pruning.load_state(small_net(1), small_net(2).state_dict())
    assert same(state(loaded), state(small_net(2))) and not pruning.masks(loaded)


@pytest.mark.parametrize(
    "other",
    [nn.Sequential(nn.Linear(24, 10)), nn.Sequential(nn.Conv2d(3, 4, 5))],
    ids=["layers", "shapes"],
)
@pytest.mark.parametrize("amount", [None, 0.5], ids=["unpruned", "pruned"])
def test_a_state_of_another_network_is_refused(other, amount):
    if amount:
        other = pruning.global_unstructured(other, amount)
    with pytest.raises(
        ValueError, match="state_dict does not match Sequential|the mask of 0.weight must hold"
    ):
        pruning.load_state(small_net(), other.state_dict())


def cut_net(seed=0, rate=0.5):
    """Return a network with filters removed from every kind of layer, and a new unpruned one."""
    torch.manual_seed(seed)
    layers = [
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.Conv2d(8, 6, 3),
    ]
    layers += [nn.BatchNorm2d(6, affine=False), nn.Flatten(), nn.Linear(24, 7), nn.Linear(7, 10)]
    model = nn.Sequential(*layers)
    model(torch.randn(5, 3, 8, 8))  # running statistics
    return pruning.remove_filters(
        model, rate, example_input=torch.zeros(1, 3, 8, 8)
    ), copy.deepcopy(model)


@pytest.mark.parametrize("amount", [0, 0.3], ids=["dense", "masked"])
def test_a_network_with_removed_filters_comes_back_from_a_file(amount, tmp_path):
    small, fresh = cut_net()
    if amount:
        small = pruning.global_unstructured(small, amount)
    torch.save(small.state_dict(), tmp_path / "model.pt")
    fresh[4].weight.requires_grad_(False)
    loaded = pruning.load_state(fresh, torch.load(tmp_path / "model.pt", weights_only=True))
    assert loaded is fresh and same(state(loaded), state(small))
    for name, module in small.named_modules():
        mine = loaded.get_submodule(name)
        for key in (
            "in_channels",
            "out_channels",
            "groups",
            "in_features",
            "out_features",
            "num_features",
        ):
            assert getattr(mine, key, None) == getattr(module, key, None), (name, key)
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(loaded.eval()(x), small.eval()(x))
    assert [name for name, p in loaded.named_parameters() if not p.requires_grad] == ["4.weight"]
    again = pruning.remove_filters(loaded, 0.5, example_input=x)
    assert again(x).shape == (2, 10) and again[0].out_channels == 2
    assert pruning.sparsity(loaded) == pytest.approx(amount, abs=0.01)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"8.weight": (9, 4), "8.bias": (9,)},
            r"'8.weight' has the shape \(9, 4\), the model's has \(10, 7\)",
        ),
        (
            {"0.weight": (4, 1, 3, 3)},
            r"'0.weight' has the shape \(4, 1, 3, 3\), the model's has \(8, 3, 3, 3\)",
        ),
        ({"0.weight": (9, 3, 3, 3), "0.bias": (9,)}, "'0.weight' has the shape"),
        ({"0.weight": (4, 3, 2, 2)}, "'0.weight' has the shape"),
        ({"0.weight": (0, 3, 3, 3), "0.bias": (0,)}, "'0.weight' has the shape"),
        ({"0.bias": (3,)}, "'0.weight' has the shape"),
        ({"1.running_var": (3,)}, "'1.weight' has the shape"),
        ({"3.weight": (4, 2, 3, 3)}, "'3.weight' has the shape"),
    ],
)
def test_a_state_that_is_no_cut_of_the_network_is_refused_and_leaves_it_whole(change, message):
    small, fresh = cut_net()
    before = state(fresh)
    cut = small.state_dict() | {name: torch.zeros(shape) for name, shape in change.items()}
    with pytest.raises(ValueError, match=f"state_dict does not match Sequential: {message}"):
        pruning.load_state(fresh, cut)
    assert [value.shape for value in state(fresh).values()] == [
        value.shape for value in before.values()
    ]


def test_what_cannot_be_cut_is_refused():
    with pytest.raises(ValueError, match="'1.weight' has the shape"):
        pruning.load_state(
            nn.Sequential(nn.Linear(4, 3), nn.Bilinear(3, 3, 2)),
            nn.Sequential(nn.Linear(4, 3), nn.Bilinear(2, 3, 2)).state_dict(),
        )
    grouped = [nn.Sequential(nn.Conv2d(4, n, 1, groups=2), nn.Conv2d(n, 2, 1)) for n in (8, 6)]
    with pytest.raises(ValueError, match="'0.weight' has the shape"):
        pruning.load_state(grouped[0], grouped[1].state_dict())


def test_dropped_masks_let_weights_grow_back(pruned):
    before = state(pruned)
    free = pruning.drop_masks(pruned)
    assert not pruning.masks(free) and pruning.sparsity(free) == pruning.sparsity(pruned)
    assert free.state_dict().keys() == small_net().state_dict().keys()
    train_without_knowing_of_masks(free)
    free(torch.randn(1, 3, 6, 6))
    assert pruning.sparsity(free) < 0.05
    assert same(state(pruned), before)


def test_a_permanently_pruned_model_is_a_plain_one(pruned):
    train_without_knowing_of_masks(pruned)
    plain = pruning.make_permanent(pruned)
    assert torch.equal(weights(plain) == 0, flat_mask(pruned) == 0)
    assert not any(parameter.requires_grad for parameter in plain.parameters())
    assert all(parameter.requires_grad for parameter in pruned.parameters())
    assert not any(module._forward_pre_hooks for module in plain.modules())
    fresh = small_net(5)
    fresh.load_state_dict(plain.state_dict())  # strict: any network of the same layers
    x = torch.randn(2, 3, 6, 6)
    assert torch.equal(fresh.eval()(x), pruned.eval()(x))


def test_rewinding_gives_early_weights_the_late_mask(pruned):
    early = small_net(7)
    before = state(early)
    rewound = pruning.rewind(train_without_knowing_of_masks(pruned), early)
    assert torch.equal(weights(rewound), weights(early) * flat_mask(pruned))
    assert torch.equal(rewound[3].bias, early[3].bias)
    assert same(state(early), before)
    pruning.masks(rewound)["0.weight"].zero_()
    assert pruning.masks(pruned)["0.weight"].any(), "the two models share a mask"


def test_sparsity_counts_zeros_of_conv_and_fc_weights_and_no_biases():
    model = one_layer([0.0, 1.0, 0.0, -2.0, 3.0])
    model[0].bias.data.zero_()
    assert pruning.sparsity(model) == 2 / 5
    pruning.attach_masks(model, {"0.weight": torch.tensor([[1, 0, 1, 1, 1]])})
    assert pruning.sparsity(model) == 3 / 5
    model[0].weight.data[0, 1] = 9.0  # by hand, which no hook sees
    assert pruning.sparsity(model) == 2 / 5, "it counts the weights as they are"
    model(torch.zeros(1, 5))
    assert pruning.sparsity(model) == 3 / 5


@pytest.mark.parametrize(
    ("name", "mask", "message"),
    [
        (
            "0.weight",
            torch.ones(2, 2),
            "must hold 0 and 1 in shape \\(4, 3, 3, 3\\), got \\(2, 2\\)",
        ),
        ("0.weight", torch.full((4, 3, 3, 3), 0.5), "must hold 0 and 1"),
        ("0.weight", torch.full((4, 3, 3, 3), torch.nan), "must hold 0 and 1"),
        ("9.weight", torch.ones(1), "no weight named '9.weight': masks must be those"),
        ("0.bias", torch.ones(4), "no weight named '0.bias': masks must be those"),
        (
            "2.weight",
            torch.ones(4),
            "no weight named '2.weight': masks must be",
        ),  # the Flatten layer has no weight
    ],
)
def test_masks_that_do_not_fit_are_refused(name, mask, message):
    with pytest.raises(ValueError, match=message):
        pruning.attach_masks(small_net(), {name: mask})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            utils.weight_norm,
            "torch.nn.utils.weight_norm holds the weights of '0': fold it in first, with "
            r"torch.nn.utils.remove_weight_norm\(layer\)",
        ),
        (
            utils.spectral_norm,
            "torch.nn.utils.spectral_norm holds the weights of '0': fold it in first, with "
            r"torch.nn.utils.remove_spectral_norm\(layer\)",
        ),
        (parametrizations.weight_norm, "'0.weight' is computed by a parametrization"),
        (parametrizations.orthogonal, "'0.weight' is computed by a parametrization"),
    ],
    ids=["weight_norm", "spectral_norm", "parametrized weight_norm", "orthogonal"],
)
def test_weights_in_parts_are_refused_until_they_are_folded_in(change, message):
    model, x = small_net(), torch.randn(2, 3, 6, 6)
    with warnings.catch_warnings(action="ignore"):  # the older functions are deprecated
        change(model[0])
    expected = model.eval()(x)
    calls = [
        lambda: pruning.global_unstructured(model, 0.5),
        lambda: pruning.global_structured(model, 0.3),
        lambda: pruning.lottery_step(model),
        lambda: pruning.rewind(pruning.global_unstructured(small_net(), 0.5), model),
        lambda: pruning.attach_masks(model, {"0.weight": torch.ones(4, 3, 3, 3)}),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert torch.equal(model(x), expected)
    fold_in = {
        utils.weight_norm: utils.remove_weight_norm,
        utils.spectral_norm: utils.remove_spectral_norm,
    }.get(change, lambda layer: parametrize.remove_parametrizations(layer, "weight"))
    fold_in(model[0])
    torch.testing.assert_close(model(x), expected)
    assert pruning.sparsity(pruning.global_unstructured(model, 0.5)) == pytest.approx(0.5, abs=0.01)


def test_masks_of_a_model_on_float64_prune_it_too():
    pruned = pruning.global_unstructured(small_net().double(), 0.5)
    assert weights(pruned).dtype == torch.float64 and np.isclose(pruning.sparsity(pruned), 0.5)


# ---------------------------------------------------------------- whole filters by masks


def filters_by_hand():
    """Return two convolutions of three filters and an FC layer; filters have these magnitudes."""
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 3), nn.Flatten(), nn.Linear(3, 2)
    )
    for layer, magnitudes in zip(
        (model[0], model[2], model[4]), ((5, 1, 4), (2, 6, 3), (0.1, 0.1)), strict=True
    ):
        for filter_, magnitude in zip(layer.weight.data, magnitudes, strict=True):
            filter_.fill_(-magnitude)
    return model


@pytest.mark.parametrize(
    ("amount", "gone"),
    [
        (0, set()),
        (1 / 6, {(0, 1)}),
        (0.5, {(0, 1), (2, 0), (2, 2)}),
        (4 / 6, {(0, 1), (0, 2), (2, 0), (2, 2)}),
    ],
)
def test_the_smallest_filters_of_all_layers_are_masked_and_the_last_layer_is_not(amount, gone):
    model = filters_by_hand()
    pruned = pruning.global_structured(model, amount)
    zeroed = {
        (k, row) for k in (0, 2, 4) for row, w in enumerate(pruned[k].weight) if (w == 0).all()
    }
    assert zeroed == gone and (model[0].weight != 0).all()
    unchanged = [
        (pruned[k].weight[row] == model[k].weight[row]).all()
        for k in (0, 2)
        for row in range(3)
        if (k, row) not in gone
    ]
    assert all(unchanged)


def test_random_filters_are_as_many_and_depend_on_the_seed():
    model = initialize(mnist_net(), "pytorch", 0)
    one, again, other = (
        pruning.global_structured(model, 0.5, method="random", seed=seed) for seed in (1, 1, 2)
    )
    zeros = [
        [(w == 0).flatten(1).all(1).tolist() for w in pruning.masks(m).values()]
        for m in (one, again, other)
    ]
    assert zeros[0] == zeros[1] != zeros[2]
    assert all(sum(map(sum, rows)) == 6 and not all(rows[0]) and not all(rows[1]) for rows in zeros)


def test_filters_that_cannot_be_masked_are_refused():
    with pytest.raises(
        ValueError, match="5 of 6 filters cannot be pruned: each of the 2 layers keeps one"
    ):
        pruning.global_structured(filters_by_hand(), 0.8)
    with pytest.raises(ValueError, match="nothing to prune: Sequential has a single layer"):
        pruning.global_structured(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), 0.5)
    with pytest.raises(
        ValueError, match="amount is the fraction of filters to prune, in \\[0, 1\\), got 1"
    ):
        pruning.global_structured(filters_by_hand(), 1)
    broken = filters_by_hand()
    broken[2].weight.data[0, 0, 0, 0] = math.nan
    with pytest.raises(ValueError, match="2 has weights that are nan or infinite"):
        pruning.global_structured(broken, 0.5)
