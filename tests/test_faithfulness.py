"""ROAD, whether heatmaps are faithful: against pytorch-grad-cam and cases by hand."""

import math

import numpy as np
import pytest
import torch
from pytorch_grad_cam.metrics import perturbation_confidence as library
from pytorch_grad_cam.metrics.road import NoisyLinearImputer, ROADMostRelevantFirst
from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget
from torch import nn

from pruncam import cams
from pruncam.cams.faithfulness import PERCENTILES


def network(channels=3, classes=4):
    """Return a network whose probabilities depend on the pixels."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(channels, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()
    ).append(nn.Linear(24, classes))
    model[-1].weight.data.mul_(20)
    return model.eval()


def random_images(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


class Pixel(nn.Module):
    """The first class is the more probable, the higher is one pixel of the first channel."""

    def __init__(self, row, column):
        super().__init__()
        self.row, self.column = row, column

    def forward(self, images):
        pixel = images[:, 0, self.row, self.column]
        return torch.stack([pixel, torch.zeros_like(pixel)], dim=1)


def change(before, after):
    """Return the change of the first class's probability of `Pixel` between two values."""
    return 1 / (1 + math.exp(-after)) - 1 / (1 + math.exp(-before))


def row_of(*values):
    """Return an image, or a map, of a single row."""
    return torch.tensor(values).reshape(1, 1, 1, -1)


# ---------------------------------------------------------------- pytorch-grad-cam


def library_scores(model, images, maps, targets, removal, percentiles):
    """Return the scores of pytorch-grad-cam without noise, (N,)."""

    def metric(percentile):
        imputer = NoisyLinearImputer(noise=0)
        return library.PerturbationConfidenceMetric(removal(percentile, imputer))

    average = library.AveragerAcrossThresholds(metric, percentiles)
    classes = [ClassifierOutputSoftmaxTarget(target) for target in targets]
    return torch.from_numpy(average(images, maps.numpy(), classes, model))


@pytest.mark.parametrize("percentiles", [(50,), (12.5, 97), PERCENTILES])
@pytest.mark.parametrize("shape", [(3, 3, 12, 16), (2, 1, 13, 12)])
def test_scores_equal_those_of_pytorch_grad_cam(shape, percentiles):
    model, images = network(shape[1]), random_images(*shape)
    maps = random_images(shape[0], *shape[2:]) ** 2
    targets = [3, 0, 2][: shape[0]]
    scores = cams.road(
        model, images, maps, targets=targets, percentiles=percentiles, noise=0, batch_size=2
    )
    arguments = model, images, maps, targets
    most = library_scores(*arguments, library.RemoveMostRelevantFirst, percentiles)
    least = library_scores(*arguments, library.RemoveLeastRelevantFirst, percentiles)
    torch.testing.assert_close(scores.most_relevant_first, most, atol=2e-6, rtol=0)
    torch.testing.assert_close(scores.least_relevant_first, least, atol=2e-6, rtol=0)
    torch.testing.assert_close(scores.combined, (least - most) / 2, atol=2e-6, rtol=0)
    assert most.abs().max() > 0.01 and least.abs().max() > 0.01, "the test would tell nothing"


def test_heatmaps_of_a_network_get_the_score_of_pytorch_grad_cam():
    model, images = network(), random_images(3, 3, 14, 14)
    explanation = cams.explain(model, images, methods=["grad-cam"], target_layer="1")
    maps, percentiles = explanation.maps["grad-cam"], (60, 80)
    shares_of_zeros = (maps == 0).float().mean(dim=(1, 2))
    assert 0 < shares_of_zeros.max() < 0.6, "pixels with the same value remain together"
    scores = cams.road(model, images, maps, percentiles=percentiles, noise=0)
    expected = library_scores(
        model, images, maps, explanation.targets, library.RemoveMostRelevantFirst, percentiles
    )
    torch.testing.assert_close(scores.most_relevant_first, expected, atol=2e-6, rtol=0)


def test_noise_is_as_large_as_that_of_pytorch_grad_cam_and_only_on_imputed_pixels(monkeypatch):
    model, image, relevance = network(), random_images(1, 3, 16, 16), random_images(1, 16, 16)
    seen = []
    model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].clone()))
    cams.road(model, image, relevance, percentiles=(30,), noise=0.01)
    _, imputed, _ = seen
    removed = relevance[0] >= np.percentile(relevance[0].numpy(), 30)
    metric = ROADMostRelevantFirst(30)
    metric.perturbation.imputer.noise = 0
    classes = [ClassifierOutputSoftmaxTarget(0)]
    _, plain = metric(image, relevance.numpy(), classes, network(), return_visualization=True)
    noise = (imputed - plain)[0]
    assert torch.equal(imputed[0, :, ~removed], image[0, :, ~removed])
    assert noise[:, removed].std() == pytest.approx(0.01, rel=0.1)
    assert noise[:, removed].mean().abs() < 0.002


# ---------------------------------------------------------------- by hand


def test_a_pixel_becomes_the_weighted_mean_of_its_eight_neighbours():
    image = torch.tensor([[[[1.0, 2.0, 3.0], [4.0, 50.0, 6.0], [7.0, 8.0, 9.0]]]])
    relevance = torch.zeros(1, 3, 3)
    relevance[0, 1, 1] = 1
    scores = cams.road(Pixel(1, 1), image, relevance, targets=[0], percentiles=(90,), noise=0)
    mean = (2 + 4 + 6 + 8) / 6 + (1 + 3 + 7 + 9) / 12
    assert float(scores.most_relevant_first) == pytest.approx(change(50, mean), abs=1e-6)


def test_a_pixel_in_a_corner_has_three_neighbours():
    image = torch.tensor([[[[50.0, 0.2], [0.4, 0.9]]]])
    relevance = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    scores = cams.road(Pixel(0, 0), image, relevance, targets=[0], percentiles=(90,), noise=0)
    mean = (2 * (0.2 + 0.4) + 0.9) / 5  # weights 1/6, 1/6 and 1/12
    assert float(scores.most_relevant_first) == pytest.approx(change(50, mean), abs=1e-6)


@pytest.mark.parametrize(("column", "value"), [(1, 2.0), (2, 4.0)])
def test_missing_pixels_in_a_row_lie_on_the_line_between_the_known_ones(column, value):
    """Each is the mean of its two neighbours, so both lie on the line from 0 to 6."""
    image, relevance = row_of(0.0, 9.0, 8.0, 6.0), row_of(0.1, 0.9, 0.8, 0.0)[0]
    model = Pixel(0, column)
    scores = cams.road(model, image, relevance, targets=[0], percentiles=(50,), noise=0)
    before = float(image[0, 0, 0, column])
    assert float(scores.most_relevant_first) == pytest.approx(change(before, value), abs=1e-6)
    assert float(scores.least_relevant_first) == 0, "the two others are removed instead"


def test_scores_are_means_over_percentiles():
    image, relevance = row_of(0.0, 9.0, 8.0, 6.0), row_of(0.1, 0.9, 0.8, 0.0)[0]
    scores = cams.road(Pixel(0, 2), image, relevance, targets=[0], percentiles=(50, 80), noise=0)
    expected = (change(8, 4) + 0) / 2  # at 80 %, the pixel before it is the only one to go
    assert float(scores.most_relevant_first) == pytest.approx(expected, abs=1e-6)


def test_pixels_with_the_lowest_value_are_never_all_removed():
    """At this percentile no pixel would remain: pytorch-grad-cam divides by zero here."""
    image, relevance = row_of(1.0, 2.0, 9.0, 4.0, 5.0), row_of(0.0, 0.0, 1.0, 0.0, 0.0)[0]
    scores = cams.road(Pixel(0, 2), image, relevance, targets=[0], percentiles=(10, 50), noise=0)
    assert float(scores.most_relevant_first) == pytest.approx(change(9, 3), abs=1e-6)


# ---------------------------------------------------------------- properties


def test_a_map_of_what_the_model_sees_scores_well_and_its_inverse_badly():
    model, images = Pixel(2, 3), random_images(4, 1, 12, 12)
    images[:, 0, 2, 3] = 20
    steps = torch.arange(144.0).reshape(12, 12) / 256  # exact, as are their differences from 1
    maps = steps.expand(4, 12, 12).clone()
    maps[:, 2, 3] = 1
    good = cams.road(model, images, maps, noise=0)
    bad = cams.road(model, images, 1 - maps, noise=0)
    assert (good.most_relevant_first < -0.2).all() and (good.combined > 0.1).all()
    assert (good.least_relevant_first == 0).all()
    assert torch.equal(bad.least_relevant_first, good.most_relevant_first)
    assert torch.equal(bad.combined, -good.combined)


def test_empty_maps_have_no_score_and_the_others_keep_theirs():
    model, images = network(), random_images(4, 3, 12, 12)
    maps = random_images(4, 12, 12)
    expected = cams.road(model, images, maps, noise=0)
    maps[1], maps[3] = 0, 0.5
    scores = cams.road(model, images, maps, noise=0)
    for values, before in zip(
        (*scores, scores.combined), (*expected, expected.combined), strict=True
    ):
        assert values.isnan().tolist() == [False, True, False, True]
        assert torch.equal(values[::2], before[::2])


def test_scores_are_the_same_for_every_batch_size_and_differ_by_seed():
    model, images, maps = network(), random_images(3, 3, 12, 12), random_images(3, 12, 12)
    options = {"percentiles": (20, 70), "noise": 0.1}
    first = cams.road(model, images, maps, **options)
    in_batches = cams.road(model, images, maps, **options, batch_size=1)
    other_seed = cams.road(model, images, maps, **options, seed=1)
    torch.testing.assert_close(first, in_batches, atol=1e-6, rtol=0)
    assert torch.equal(torch.stack(first), torch.stack(cams.road(model, images, maps, **options)))
    assert not torch.allclose(torch.stack(first), torch.stack(other_seed), atol=1e-4)


def test_the_explained_class_is_by_default_the_models_own():
    model, images, maps = network(), random_images(3, 3, 12, 12), random_images(3, 12, 12)
    top = model(images).argmax(1)
    own = cams.road(model, images, maps, percentiles=(50,))
    assert torch.equal(
        torch.stack(own),
        torch.stack(cams.road(model, images, maps, targets=top, percentiles=(50,))),
    )


def test_the_model_and_the_images_stay_as_they_are():
    model, images, maps = network().train(), random_images(2, 3, 12, 12), random_images(2, 12, 12)
    copies = images.clone(), maps.clone()
    random_state = torch.get_rng_state()
    cams.road(model, images, maps, percentiles=(50,))
    assert model.training and all(weight.grad is None for weight in model.parameters())
    assert torch.equal(images, copies[0]) and torch.equal(maps, copies[1])
    assert torch.equal(torch.get_rng_state(), random_state)


def test_outputs_are_selected_and_probabilities_taken_as_they_are():
    model, images, maps = network(), random_images(2, 3, 12, 12), random_images(2, 12, 12)
    expected = torch.stack(cams.road(model, images, maps, noise=0))

    class WithAuxiliary(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = model

        def forward(self, images):
            return {"auxiliary": images, "logits": self.network(images)}

    selected = cams.road(WithAuxiliary(), images, maps, noise=0, output="logits")
    of_probabilities = cams.road(nn.Sequential(model, nn.Softmax(1)), images, maps, noise=0)
    assert torch.equal(torch.stack(selected), expected)
    torch.testing.assert_close(torch.stack(of_probabilities), expected, atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match="pass output='logits'"):
        cams.road(WithAuxiliary(), images, maps)


IMAGES, MAPS = random_images(2, 3, 12, 12), random_images(2, 12, 12)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"maps": MAPS[:1]}, ValueError, r"shape \(2, 12, 12\), got \(1, 12, 12\)"),
        ({"maps": MAPS.numpy()}, TypeError, "maps must be a tensor of heatmaps"),
        ({"maps": 2 * MAPS}, ValueError, r"maps must lie in \[0, 1\]"),
        ({"maps": MAPS / 0}, ValueError, r"maps must lie in \[0, 1\]"),
        ({"images": IMAGES[0]}, ValueError, r"images must have the shape \(N, C, H, W\)"),
        ({"images": IMAGES[:, :1]}, ValueError, "the model cannot take images"),
        ({"model": "resnet"}, TypeError, "model must be a torch.nn.Module"),
        ({"model": network(classes=1)}, ValueError, "a single logit, which has no class"),
        ({"targets": [0, 4]}, ValueError, "targets must be classes of the model, 0 to 3"),
        ({"percentiles": ()}, ValueError, "one or more numbers between 0 and 100"),
        ({"percentiles": (50, 100)}, ValueError, "one or more numbers between 0 and 100"),
        ({"noise": -1}, ValueError, "noise must be at least 0, got -1"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"output": 2.5}, TypeError, "output must be a position"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(changes, error, message):
    arguments = {"model": network(), "images": IMAGES, "maps": MAPS, **changes}
    with pytest.raises(error, match=message):
        cams.road(**arguments)
