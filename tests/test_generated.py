"""Generated images: what is known of them holds, and they offer a network no shortcuts."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pruncam._core import paths
from pruncam.datasets import catalog
from pruncam.datasets.generated import CLASSES, GeneratedSet, draw_image


@pytest.fixture(scope="module")
def plain():
    return catalog.load("generated-10", "test")


@pytest.fixture(scope="module")
def marked():
    return catalog.load("generated-10-marked", "train")


def test_the_sets_are_balanced_and_come_without_a_download(plain, tmp_path):
    assert plain.images.shape == (600, 3, 32, 32) and plain.labels.bincount().tolist() == [60] * 10
    counts = plain.first(20).labels.bincount().tolist()
    assert counts == [2] * 10, "the first images must be balanced too"
    assert catalog.load("generated-10-96", "test").images.shape == (600, 3, 96, 96)
    assert plain.classes[:3] == ("striped disc", "checked disc", "striped square")


def test_images_are_the_same_every_time_and_differ_between_the_splits(plain):
    assert catalog.load("generated-10", "test").checksum == plain.checksum
    train = catalog.load("generated-10", "train")
    train_pixels = {image.numpy().tobytes() for image in train.images}
    test_pixels = {image.numpy().tobytes() for image in plain.images}
    assert train_pixels.isdisjoint(test_pixels) and len(train_pixels) == len(train)


@pytest.mark.parametrize("name", ["generated-10", "generated-10-marked"])
def test_a_part_is_the_beginning_of_the_whole(name):
    full = catalog.load(name, "test")
    for count in (1, 25):
        part = catalog.load(name, "test", at_most=count)
        expected = full.first(count)
        assert part.checksum == expected.checksum and part.provenance == expected.provenance
        assert torch.equal(part.objects, expected.objects)
        assert torch.equal(part.labels, expected.labels)
    assert catalog.load(name, "test", at_most=9999).checksum == full.checksum
    with pytest.raises(ValueError, match="at_most must be"):
        catalog.load(name, "test", at_most=0)


def test_a_part_of_a_set_with_files_is_the_beginning_of_the_whole():
    part = catalog.load("digits", "test", at_most=7)
    assert part.checksum == catalog.load("digits", "test").first(7).checksum


def area(shape):
    """Return the area of a shape that reaches from -1 to 1, by elementary geometry."""
    side = 2 * (1 + 0.5) / 1.732  # the triangle's, at its base v = -0.5
    return {
        "disc": np.pi * 0.8,
        "square": 1.4**2,
        "triangle": side * 1.5 / 2,
        "ring": np.pi * 0.7,
        "cross": 2 * 1.9 * 0.6 - 0.6**2,
    }[shape]


@pytest.mark.parametrize("label", range(10))
def test_the_object_has_the_area_of_its_shape(label):
    size = 96
    generator = np.random.default_rng(label)
    areas = [draw_image(label, size, 0.5, generator)[1].sum() for _ in range(200)]
    # The mean square of a radius between 0.24 and 0.36.
    mean_square = (0.36**3 - 0.24**3) / (3 * (0.36 - 0.24)) * size**2
    shape = CLASSES[label].split()[1]
    assert np.mean(areas) == pytest.approx(area(shape) * mean_square, rel=0.05)


def test_objects_lie_inside_of_the_image(plain):
    objects = plain.objects
    assert objects.flatten(1).any(1).all()
    edges = [objects[:, 0], objects[:, -1], objects[:, :, 0], objects[:, :, -1]]
    assert torch.cat(edges, 1).float().mean() < 0.02


def test_without_noise_an_object_has_two_colours_and_its_surroundings_many():
    generator = np.random.default_rng(0)
    for label in range(10):
        image, mask = draw_image(label, 32, 0.0, generator)
        colours = np.round(image / 0.05)
        inside = np.unique(colours[:, mask], axis=1).shape[1]
        around = np.unique(colours[:, ~mask], axis=1).shape[1]
        assert inside < 25 < around


def test_the_two_colours_of_an_object_differ_less_when_it_is_difficult():
    def spread(difficulty):
        generator = np.random.default_rng(1)
        pairs = [draw_image(k % 10, 32, difficulty, generator) for k in range(60)]
        return np.mean([image[:, mask].std(axis=1).mean() for image, mask in pairs])

    assert spread(0.0) > spread(0.5) > spread(1.0)


def corner(images):
    """Return the class that the colour of the corner stands for: five hues, light and dark."""
    colours = images[:, :, 1:3, 1:3].float().mean((2, 3)) / 255
    hues = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1.0]])
    brightest = colours.amax(1, keepdim=True)
    hue = torch.cdist(colours / brightest, hues).argmin(1)
    return hue + 5 * (brightest[:, 0] < 0.7)


def test_the_mark_agrees_with_the_class_at_the_requested_rate(marked, plain):
    rate = (corner(marked.images) == marked.labels).float().mean().item()
    assert rate == pytest.approx(0.95, abs=3 * (0.95 * 0.05 / len(marked)) ** 0.5)
    assert (corner(plain.images) == plain.labels).float().mean() < 0.2
    never = GeneratedSet("x", size=32, agreement=0.0).load("test", Path())
    assert (corner(never.images) == never.labels).sum() == 0


def test_colours_and_positions_tell_nothing_about_the_class(plain):
    # A linear rule on the mean colour of each quarter must not beat chance by much.
    from sklearn.linear_model import LogisticRegression

    def coarse(images):
        return torch.nn.functional.adaptive_avg_pool2d(images.float() / 255, 2).flatten(1)

    train = catalog.load("generated-10", "train")
    rule = LogisticRegression(max_iter=500).fit(coarse(train.images), train.labels)
    assert rule.score(coarse(plain.images), plain.labels) < 0.2


def roughness(images):
    """Return the mean difference between neighbouring pixels, away from the border."""
    inside = images.images[:, :, 1:-1, 1:-1].float()
    return (inside[..., 1:] - inside[..., :-1]).abs().mean().item()


def test_difficulties_differ_only_in_contrast_clutter_and_noise():
    names = ("generated-10-easy", "generated-10", "generated-10-hard")
    easy, normal, hard = (catalog.load(name, "test").first(200) for name in names)
    assert roughness(easy) < roughness(normal) < roughness(hard)
    for images, difficulty in ((easy, "0"), (normal, "0.5"), (hard, "1")):
        assert torch.equal(images.labels, normal.labels) and images.classes == CLASSES
        assert images.provenance.split(";")[0].endswith(f"difficulty {difficulty}")


def test_the_images_are_those_of_the_committed_results():
    path = paths.project_root() / "figures" / "laptop" / "sp2ps" / "manifest.json"
    data = json.loads(path.read_text())["data"]
    known = {(entry["name"], entry["split"]): entry["sha256"] for entry in data}
    for split in ("train", "test"):
        assert catalog.load("generated-10", split).checksum == known["generated-10", split]
