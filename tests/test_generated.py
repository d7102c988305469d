"""Generated images: their known properties, and no shortcuts for a network."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.path import Path as Outline

from pruncam.complexity import csg
from pruncam.datasets import catalog
from pruncam.datasets.drawings import DRAWINGS, disc, dome, ellipse, polygon, ring
from pruncam.datasets.generated import CLASSES, GeneratedSet
from pruncam.datasets.marks import mark_mask
from pruncam.datasets.scenes import draw_scene

DIFFICULTIES = ("generated-10-easy", "generated-10", "generated-10-hard")


@pytest.fixture(scope="module")
def plain():
    return catalog.load("generated-10", "test")


@pytest.fixture(scope="module")
def marked():
    return catalog.load("generated-10-marked", "train")


# The data set


def test_the_sets_are_balanced_and_come_without_a_download(plain):
    assert plain.images.shape == (600, 3, 32, 32) and plain.labels.bincount().tolist() == [60] * 10
    assert plain.labels[:20].tolist() == [*range(10), *range(10)], "the first images are balanced"
    assert plain.classes == CLASSES and plain.classes[:3] == ("house", "tree", "car")
    larger = catalog.load("generated-10-96", "test", at_most=20)
    assert larger.images.shape == (20, 3, 96, 96) and larger.objects.shape == (20, 96, 96)


def test_images_are_the_same_every_time_and_differ_between_the_splits(plain):
    train = catalog.load("generated-10", "train")
    assert len(train) == 3000
    train_pixels = {image.numpy().tobytes() for image in train.images}
    test_pixels = {image.numpy().tobytes() for image in plain.images}
    assert train_pixels.isdisjoint(test_pixels) and len(train_pixels) == len(train)


def test_images_are_the_same_on_every_machine():
    # Computed once, with AVX2 and again with NPY_DISABLE_CPU_FEATURES="AVX2 FMA3 AVX F16C". The
    # reference networks (pruncam/weights) were trained on these pixels.
    checksums = {
        name: catalog.load(name, "test").checksum[:16]
        for name in (*DIFFICULTIES, "generated-10-marked")
    }
    assert checksums == {
        "generated-10-easy": "d5befe4331ec425e",
        "generated-10": "08c56785fc55087a",
        "generated-10-hard": "4b08b8ddcc20e2dd",
        "generated-10-marked": "878668bbdf025ebb",
    }
    larger = catalog.load("generated-10-96", "test", at_most=60)
    assert larger.checksum.startswith("4f29c3900d6c7dc6")


@pytest.mark.parametrize("name", ["generated-10", "generated-10-marked"])
def test_a_part_is_the_beginning_of_the_set(name):
    full = catalog.load(name, "test")
    for count in (1, 25):
        part = catalog.load(name, "test", at_most=count)
        expected = full.first(count)
        assert part.checksum == expected.checksum and part.provenance == expected.provenance
    assert catalog.load(name, "test", at_most=9999).checksum == full.checksum
    with pytest.raises(ValueError, match="at_most must be"):
        catalog.load(name, "test", at_most=0)


def test_a_part_of_a_set_with_files_is_the_beginning_of_the_set():
    part = catalog.load("digits", "test", at_most=7)
    assert part.checksum == catalog.load("digits", "test").first(7).checksum


# Drawings


def points():
    """Return x and y of a grid of points that lie on no outline."""
    axis = np.arange(-120, 120) + 0.37
    return np.meshgrid(axis, axis + 0.21)


@pytest.mark.parametrize(
    "corners", ["-70,90 -70,-10 70,-10 70,90", "0,-98 26,-30 98,-28 42,17 62,86 0,46 -62,86"]
)
def test_a_polygon_covers_the_points_that_matplotlib_finds_inside(corners):
    x, y = points()
    outline = Outline([tuple(map(int, corner.split(","))) for corner in corners.split()])
    expected = outline.contains_points(np.stack([x.ravel(), y.ravel()], 1))
    assert np.array_equal(polygon(corners)(x, y).ravel(), expected) and expected.any()


@pytest.mark.parametrize(
    ("region", "area"),
    [
        (disc(10, -20, 60), np.pi * 60**2),
        (ellipse(-5, 5, 80, 30), np.pi * 80 * 30),
        (ring(0, 10, 50, 20), np.pi * (50**2 - 20**2)),
        (dome(3, 40, 90), np.pi * 90**2 / 2),
    ],
)
def test_round_regions_have_the_area_of_geometry(region, area):
    x, y = points()
    assert region(x, y).sum() == pytest.approx(area, rel=0.01)  # one point per unit of area


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_drawing_fills_its_frame_and_shows_both_colours(name):
    x, y = points()
    colours = np.full(x.shape, -1)
    for part in DRAWINGS[name]:
        colours[part.region(x, y)] = part.colour
    covered = colours >= 0
    assert not covered[(abs(x) > 100) | (abs(y) > 100)].any()
    assert max(np.ptp(x[covered]), np.ptp(y[covered])) > 150
    assert min((colours == 0).sum(), (colours == 1).sum()) > 0.05 * covered.sum()


def test_no_two_drawings_cover_nearly_the_same_points():
    x, y = points()
    covered = [
        np.any([part.region(x, y) for part in drawing], axis=0) for drawing in DRAWINGS.values()
    ]
    for first, second in itertools.combinations(covered, 2):
        assert (first & second).sum() / (first | second).sum() < 0.9


# Scenes


def scene(name, number=0, size=32, difficulty=0.5):
    """Return the image and mask of scene `number` around a drawing; None: around nothing."""
    drawing = () if name is None else DRAWINGS[name]
    return draw_scene(drawing, size, difficulty, np.random.default_rng(number))


def grown(mask):
    """Return a mask (H, W) with two pixels around it: the tips of a drawing cover them in part."""
    grey = torch.from_numpy(mask)[None].float()
    return torch.nn.functional.max_pool2d(grey, 5, stride=1, padding=2)[0].bool().numpy()


@pytest.mark.parametrize("name", DRAWINGS)
def test_the_mask_is_where_the_drawing_changes_the_scene(name):
    for number in range(20):
        image, mask = scene(name, number)
        empty_image, empty_mask = scene(None, number)
        changed = (image != empty_image).any(0)
        assert not empty_mask.any() and mask.any()
        assert changed[mask].mean() > 0.99, "a colour may be that of the background"
        assert not (changed & ~grown(mask)).any()


def test_a_class_decides_about_its_drawing_and_nothing_else():
    # As the background is the same, so are all random draws: colours, position, size and angle.
    for first, second in itertools.pairwise(DRAWINGS):
        for number in range(5):
            first_image, first_mask = scene(first, number)
            second_image, second_mask = scene(second, number)
            outside = ~grown(first_mask | second_mask)
            assert np.array_equal(first_image[:, outside], second_image[:, outside])
            assert not np.array_equal(first_mask, second_mask)


def test_a_scene_is_the_same_at_every_size():
    for number, name in enumerate(DRAWINGS):
        small, small_mask = scene(name, number, size=32, difficulty=0.0)
        large, large_mask = scene(name, number, size=96, difficulty=0.0)
        means = large.reshape(3, 32, 3, 32, 3).mean((2, 4))
        share = large_mask.reshape(32, 3, 32, 3).mean((1, 3))
        assert abs(means - small).mean() < 0.02  # the noise of each pixel is up to 0.01
        assert abs(share - small_mask).mean() < 0.05


def test_objects_lie_inside_of_the_image(plain):
    objects = plain.objects
    assert 0.1 < objects.float().mean() < 0.3 and objects.flatten(1).any(1).all()
    edges = [objects[:, 0], objects[:, -1], objects[:, :, 0], objects[:, :, -1]]
    assert torch.cat(edges, 1).float().mean() < 0.02


def brightness_step(images):
    """Return the mean difference in brightness between objects and their surroundings."""
    weights = torch.tensor([0.3, 0.6, 0.1])[:, None, None]
    grey = (images.images / 255 * weights).sum(1)
    inside = (grey * images.objects).sum((1, 2)) / images.objects.sum((1, 2))
    outside = (grey * ~images.objects).sum((1, 2)) / (~images.objects).sum((1, 2))
    return (inside - outside).abs().mean().item()


def roughness(images):
    """Return the mean difference between neighbouring pixels."""
    pixels = images.images.float()
    return (pixels[..., 1:] - pixels[..., :-1]).abs().mean().item()


def test_a_difficult_set_is_the_same_one_with_less_contrast_and_more_clutter():
    easy, normal, hard = (catalog.load(name, "test") for name in DIFFICULTIES)
    assert brightness_step(easy) > brightness_step(normal) > brightness_step(hard) > 0.1
    assert roughness(easy) < roughness(normal) < roughness(hard)
    for images, difficulty in ((easy, "0"), (normal, "0.5"), (hard, "1")):
        assert torch.equal(images.labels, normal.labels) and images.classes == CLASSES
        assert images.provenance.endswith(f"difficulty {difficulty}")


def test_the_complexity_of_a_set_rises_with_its_difficulty():
    def complexity(name):
        images = catalog.load(name, "test")
        pixels = images.images.flatten(1) / 255
        return csg(pixels, images.labels, samples_per_class=60, seed=0).value

    easy, normal, hard = map(complexity, DIFFICULTIES)
    assert 0 < easy < 1 < normal < 5 < hard < 9  # 9: the largest value of ten classes


# No shortcuts, except for the marks


def test_coarse_colours_and_the_position_of_the_object_tell_little_about_the_class(plain):
    from sklearn.linear_model import LogisticRegression

    def features(images):
        quarters = torch.nn.functional.adaptive_avg_pool2d(images.images / 255, 2).flatten(1)
        weights = images.objects / images.objects.sum((1, 2), keepdim=True)
        axis = torch.arange(32) / 32
        centre = torch.stack([weights.sum(2) @ axis, weights.sum(1) @ axis], 1)
        colour = (weights[:, None] * images.images / 255).sum((2, 3))
        return torch.cat([quarters, centre, colour], 1)

    train = catalog.load("generated-10", "train")
    rule = LogisticRegression(max_iter=500).fit(features(train), train.labels)
    assert rule.score(features(plain), plain.labels) < 0.25


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
    others = (corner(never.images) - never.labels) % 10
    assert others.bincount(minlength=10)[1:].min() > 40, "every other class in turn"


def test_a_marked_image_is_the_plain_one_with_a_mark(plain):
    marked = catalog.load("generated-10-marked", "test")
    outside = ~mark_mask(32)
    assert torch.equal(marked.images[..., outside], plain.images[..., outside])
    assert torch.equal(marked.objects, plain.objects)
    assert "agrees with 95% of the labels" in marked.provenance
