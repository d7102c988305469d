"""The generated pictures: what is known of them holds, and what a network could cheat with does not."""

import json

import numpy as np
import pytest
import torch

from pruncam import places
from pruncam.datasets import catalog, generated
from pruncam.datasets.generated import CLASSES, Generated, picture_of


@pytest.fixture(scope="module")
def plain():
    return catalog.load("generated-10", "test")


@pytest.fixture(scope="module")
def marked():
    return catalog.load("generated-10-marked", "train")


def test_the_sets_are_balanced_and_come_without_a_download(plain, tmp_path):
    assert plain.images.shape == (600, 3, 32, 32) and plain.labels.bincount().tolist() == [60] * 10
    assert plain.first(20).labels.bincount().tolist() == [2] * 10, "the first images must be balanced too"
    assert catalog.load("generated-10-96", "test").images.shape == (600, 3, 96, 96)
    assert plain.classes[:3] == ("striped disc", "checked disc", "striped square")


def test_the_same_pictures_every_time_and_others_in_the_other_split(plain):
    assert catalog.load("generated-10", "test").checksum == plain.checksum
    train = catalog.load("generated-10", "train").images.flatten(1)
    repeated = {image.numpy().tobytes() for image in train} & {i.numpy().tobytes() for i in plain.images.flatten(1)}
    assert not repeated and len({image.numpy().tobytes() for image in train}) == len(train)


@pytest.mark.parametrize("name", ["generated-10", "generated-10-marked"])
def test_a_part_is_the_beginning_of_the_whole(name):
    whole = catalog.load(name, "test")
    for count in (1, 25):
        part, expected = catalog.load(name, "test", at_most=count), whole.first(count)
        assert part.checksum == expected.checksum and part.provenance == expected.provenance
        assert torch.equal(part.objects, expected.objects) and torch.equal(part.labels, expected.labels)
    assert catalog.load(name, "test", at_most=9999).checksum == whole.checksum
    assert catalog.load("digits", "test", at_most=7).checksum == catalog.load("digits", "test").first(7).checksum
    with pytest.raises(ValueError, match="at_most must be"):
        catalog.load(name, "test", at_most=0)


def area(shape):
    """Of a shape that reaches from -1 to 1, by the formulas of school."""
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
    generator, size = np.random.default_rng(label), 96
    found = np.mean([picture_of(label, size, 0.5, generator)[1].sum() for _ in range(200)])
    mean_square = (0.36**3 - 0.24**3) / (3 * (0.36 - 0.24)) * size**2  # of a radius between 0.24 and 0.36
    assert found == pytest.approx(area(CLASSES[label].split()[1]) * mean_square, rel=0.05)


def test_objects_lie_inside_and_are_what_stands_out_from_a_picture_without_them(plain):
    assert plain.objects.flatten(1).any(1).all()
    border = torch.cat([plain.objects[:, 0], plain.objects[:, -1], plain.objects[:, :, 0], plain.objects[:, :, -1]], 1)
    assert border.float().mean() < 0.02
    # Without noise the object's pixels have two colours, and those around it many.
    generator = np.random.default_rng(0)
    for label in range(10):
        picture, mask = picture_of(label, 32, 0.0, generator)
        inside = np.unique(np.round(picture[:, mask] / 0.05), axis=1).shape[1]
        around = np.unique(np.round(picture[:, ~mask] / 0.05), axis=1).shape[1]
        assert inside < 25 < around


def test_the_texture_is_in_the_object_and_its_two_colours_differ_less_when_it_is_difficult():
    def spread(difficulty):
        generator = np.random.default_rng(1)
        pairs = (picture_of(k % 10, 32, difficulty, generator) for k in range(60))
        return np.mean([picture[:, mask].std(axis=1).mean() for picture, mask in pairs])

    assert spread(0.0) > spread(0.5) > spread(1.0)


def corner(images):
    """The class that the corner's colour stands for: five hues, in light and dark."""
    colours = images[:, :, 1:3, 1:3].float().mean((2, 3)) / 255
    hues = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1.0]])
    brightest = colours.amax(1, keepdim=True)
    return torch.cdist(colours / brightest, hues).argmin(1) + 5 * (brightest[:, 0] < 0.7)


def test_the_mark_agrees_with_the_class_at_the_rate_that_was_asked_for(marked, plain):
    rate = (corner(marked.images) == marked.labels).float().mean().item()
    assert rate == pytest.approx(0.95, abs=3 * (0.95 * 0.05 / len(marked)) ** 0.5)
    assert (corner(plain.images) == plain.labels).float().mean() < 0.2
    never = Generated("x", size=32, agreement=0.0).load("test", generated.Path())
    assert (corner(never.images) == never.labels).sum() == 0


def test_colours_and_places_tell_nothing_of_the_class(plain):
    # The mean colour, and the mean of each quarter: a linear rule on them must not beat chance by much.
    from sklearn.linear_model import LogisticRegression

    def coarse(images):
        return torch.nn.functional.adaptive_avg_pool2d(images.float() / 255, 2).flatten(1)

    train = catalog.load("generated-10", "train")
    rule = LogisticRegression(max_iter=500).fit(coarse(train.images), train.labels)
    assert rule.score(coarse(plain.images), plain.labels) < 0.2


def test_difficulties_differ_in_contrast_clutter_and_noise_alone():
    sets = {name: catalog.load(f"generated-10{name}", "test").first(200) for name in ("-easy", "", "-hard")}
    inside = [images_set.images[:, :, 1:-1, 1:-1].float() for images_set in sets.values()]
    # Noise and scraps: the mean difference between neighbours outside of the object.
    rough = [(x[..., 1:] - x[..., :-1]).abs().mean().item() for x in inside]
    assert rough[0] < rough[1] < rough[2]
    assert all(torch.equal(s.labels, sets[""].labels) and s.classes == CLASSES for s in sets.values())
    assert [s.provenance.split(";")[0].rsplit(" ", 1)[1] for s in sets.values()] == ["0", "0.5", "1"]


def test_the_pictures_are_those_that_the_committed_results_were_made_with():
    path = places.project_root() / "figures" / "laptop" / "sp2ps" / "manifest.json"
    known = {(e["name"], e["split"]): e["sha256"] for e in json.loads(path.read_text())["data"]}
    for split in ("train", "test"):
        assert catalog.load("generated-10", split).checksum == known["generated-10", split]
