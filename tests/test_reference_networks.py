"""Reference networks: the shipped weights against their cards, and training them again."""

import hashlib
import math
import re
from dataclasses import replace
from functools import partial

import pytest
import torch
import yaml

from pruncam import cli, networks, training
from pruncam._core.machine import Machine
from pruncam._core.seeds import derive
from pruncam.datasets import DataError, catalog
from pruncam.networks.reference import cards, weights_folder
from pruncam.studies import sp2ps
from pruncam.studies.sp2ps.study import Sp2psStudy
from pruncam.training import Inputs, OneCycle, Recipe, accuracy, reference

LEAST_ACCURACY = 90.0  # in %, on the test images of the card
TOLERANCE = 0.5  # in points, between processors
MOST_IMAGES = 2000  # on which the accuracy is measured again
IN_THE_PACKAGE = ("generated", "digits")  # beginnings of the names of data sets
LARGEST_SIZE = 12 * 2**20  # bytes, all files together
FACTS = {
    "train_accuracy",
    "test_accuracy",
    "parameters",
    "bytes",
    "sha256",
    "train_images",
    "test_images",
    "images",
    "images_sha256",
    "precision",
    "device",
    "versions",
}

every_network = pytest.mark.parametrize("name", networks.names())
every_card = pytest.mark.parametrize("name", cards())


# ---------------------------------------------------------------- shipped networks


@every_card
def test_a_card_describes_a_training(name):
    card = networks.card(name)
    assert card.title and card.network["name"] in ("cifar_net", "stl_net", "vgg11")
    assert card.data["source"] in catalog.names()
    assert card.data.keys() == {"source", "size", "train_images", "test_images"}
    assert reference.recipe(card).epochs >= 1
    assert card.precision in training.PRECISIONS
    Inputs(**card.inputs)
    size = card.data["size"]
    logits = card.build().eval()(torch.zeros(2, 3, size, size))
    assert logits.shape == (2, card.network["classes"])


@every_network
def test_a_card_states_the_facts_of_its_weights(name):
    card = networks.card(name)
    content = card.file.read_bytes()
    assert card.result.keys() == FACTS
    assert card.result["sha256"] == hashlib.sha256(content).hexdigest()
    assert card.result["bytes"] == len(content)
    assert card.result["parameters"] == sum(p.numel() for p in card.build().parameters())
    # Half precision: two bytes for a parameter; statistics of BatchNorm and names are few.
    assert 2 * card.result["parameters"] < len(content) < 2.2 * card.result["parameters"] + 8192
    assert card.result["precision"] in ("float32", "bfloat16")
    assert card.result["versions"].keys() == {"python", "torch", "torchvision"}
    for split in ("train", "test"):
        assert card.data[f"{split}_images"] in (None, card.result[f"{split}_images"])
        assert re.fullmatch("[0-9a-f]{64}", card.result["images_sha256"][split])
        assert LEAST_ACCURACY <= card.result[f"{split}_accuracy"] <= 100


@every_network
def test_a_network_is_loaded_ready_for_use(name):
    network, untrained = networks.load(name), networks.card(name).build()
    assert not any(module.training for module in network.modules())
    assert str(network) == str(untrained.eval())
    shapes = {key: value.shape for key, value in untrained.state_dict().items()}
    assert {key: value.shape for key, value in network.state_dict().items()} == shapes
    for parameter in network.parameters():
        assert parameter.dtype == torch.float32 and parameter.requires_grad
        assert torch.equal(parameter, parameter.half().float())
    again = networks.load(name).state_dict()
    assert all(torch.equal(value, again[key]) for key, value in network.state_dict().items())


@every_network
def test_a_network_is_as_accurate_as_its_card_states(name):
    card = networks.card(name)
    try:
        test = reference.images(card, "test")
    except DataError as error:
        pytest.skip(str(error))
    if test.checksum != card.result["images_sha256"]["test"]:
        source = card.data["source"]
        assert not source.startswith(IN_THE_PACKAGE), "the images of the package have changed"
        pytest.skip(f"{source} is here in another form than that of the card")
    assert len(test) == card.result["test_images"]
    prepare, stated = Inputs(**card.inputs).normalize, card.result["test_accuracy"]
    part = test.first(min(MOST_IMAGES, len(test)))
    measured = 100 * accuracy(networks.load(name), part.images, part.labels, prepare=prepare)
    # Of a part of the images: four standard errors of a share.
    error = 400 * math.sqrt(stated * (100 - stated) / 1e4 / len(part))
    assert measured == pytest.approx(stated, abs=TOLERANCE if len(part) == len(test) else error)


def test_all_weights_together_are_small():
    files = [path for path in weights_folder().iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= LARGEST_SIZE
    assert {path.suffix for path in files} <= {".yaml", ".safetensors"}
    weights = {path.name.split(".")[0] for path in files if path.suffix == ".safetensors"}
    assert weights <= set(cards()), "weights without a card"


# ---------------------------------------------------------------- training them again

TINY = {
    "title": "Digits, a tiny network",
    "network": {"name": "cifar_net", "classes": 10, "width": 2},
    "inputs": {"mean": 0.5, "std": 0.5},
    "data": {"source": "digits", "size": 32, "train_images": 96, "test_images": 40},
    "recipe": {
        "one_cycle": {"epochs": 2, "peak": 0.05, "warmup": 0.2},
        "batch_size": 32,
        "optimizer": "nesterov",
        "label_smoothing": 0.1,
        "shift": 1,
    },
    "seed": 3,
    "precision": "float32",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of weights with the card of a tiny network, and an empty cache."""
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    monkeypatch.setattr("pruncam.networks.reference.weights_folder", lambda: folder)
    monkeypatch.setenv("PRUNCAM_CACHE", str(tmp_path / "cache"))
    return folder


def checksum():
    """Train the tiny network by the command and return the checksum of its weights."""
    assert cli.main(["weights", "tiny"]) == 0
    return networks.card("tiny").result["sha256"]


def test_the_command_trains_a_network_from_its_card(folder, capsys):
    assert networks.names() == ()
    assert cli.main(["weights", "tiny", "--device", "cpu"]) == 0
    assert networks.names() == ("tiny",)
    card = networks.card("tiny")
    assert card.result.keys() == FACTS
    assert card.result["train_images"] == 96 and card.result["test_images"] == 40
    assert card.result["device"] == "cpu" and card.result["precision"] == "float32"
    line = capsys.readouterr().out
    printed = re.fullmatch(r"tiny: (\S+) % of the test images, \d+\.\d minutes\n", line)
    assert float(printed[1]) == card.result["test_accuracy"]
    written = yaml.safe_load((folder / "tiny.yaml").read_text())
    assert {key: value for key, value in written.items() if key != "result"} == TINY
    assert {path.name for path in folder.iterdir()} == {"tiny.yaml", "tiny.safetensors"}


def test_the_network_is_the_one_that_the_card_describes(folder):
    checksum()
    train = catalog.load("digits", "train", at_most=96).as_rgb().resized(32)
    test = catalog.load("digits", "test", at_most=40).as_rgb().resized(32)
    model = networks.cifar_net(10, width=2)
    networks.initialize(model, "pytorch", derive(3, "reference weights", "tiny"))
    recipe = Recipe(OneCycle(2, 0.05), 32, optimizer="nesterov", label_smoothing=0.1, shift=1)
    seed = derive(3, "reference training", "tiny")
    training.fit(model, train.images, train.labels, recipe, Inputs(mean=0.5, std=0.5), seed=seed)
    loaded = networks.load("tiny")
    for name, value in loaded.named_buffers():
        assert torch.equal(value, model.get_buffer(name))
    for name, value in loaded.named_parameters():
        assert torch.equal(value, model.get_parameter(name).half().float())
    for split in (train, test):
        with torch.no_grad():
            predicted = loaded((split.images / 255 - 0.5) / 0.5).argmax(1)
        share = (predicted == split.labels).float().mean().item()
        measured = networks.card("tiny").result[f"{split.split}_accuracy"]
        assert measured == pytest.approx(100 * share, abs=0.01)


def test_training_again_gives_the_same_weights(folder, tmp_path, monkeypatch):
    first = checksum()
    assert checksum() == first
    monkeypatch.setenv("PRUNCAM_CACHE", str(tmp_path / "another cache"))
    assert checksum() == first
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY | {"seed": 4}))
    assert checksum() != first


def test_an_interrupted_training_continues(folder, tmp_path, monkeypatch):
    module = "pruncam.reproduce.reference_networks"
    expected = checksum()
    monkeypatch.setenv("PRUNCAM_CACHE", str(tmp_path / "another cache"))
    monkeypatch.setattr(f"{module}.Checkpoint", partial(training.Checkpoint, pause=0))

    def interrupt(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"{module}.Progress.advance", interrupt)
        assert cli.main(["weights", "tiny"]) == 130
    unfinished = list((tmp_path / "another cache").rglob("*.unfinished"))
    assert len(unfinished) == 1
    assert checksum() == expected
    assert not unfinished[0].exists()


def test_a_card_may_have_a_learning_rate_that_changes_in_steps(folder):
    steps = {"schedule": [[2, 0.1], [1, 0.01]], "batch_size": 32, "weight_decay": 0.001}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY | {"recipe": steps}))
    recipe = reference.recipe(networks.card("tiny"))
    assert recipe.epochs == 3
    assert recipe.rates.batch_rates(2, 2) == [0.01, 0.01]
    assert recipe.weight_decay == 0.001 and recipe.optimizer == "sgd"


CYCLES = [{"epochs": 2, "peak": 0.05, "warmup": 0.5}, {"epochs": 1, "peak": 0.02, "warmup": 0.5}]


@pytest.fixture
def two_cycles(folder):
    """The folder with a card of two cycles."""
    recipe = TINY["recipe"] | {"one_cycle": CYCLES}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY | {"recipe": recipe}))
    return folder


def test_a_cycle_starts_from_the_rounded_weights_of_the_one_before(two_cycles):
    checksum()
    train = catalog.load("digits", "train", at_most=96).as_rgb().resized(32)
    model = networks.cifar_net(10, width=2)
    networks.initialize(model, "pytorch", derive(3, "reference weights", "tiny"))
    recipe = reference.recipe(networks.card("tiny"))
    assert recipe.epochs == 3 and recipe.restarts == [2]
    seed = derive(3, "reference training", "tiny")
    first = replace(recipe, schedule=recipe.schedule.cycles[0])
    for schedule, epoch in ((first, 0), (recipe, 2)):
        training.fit(
            model,
            train.images,
            train.labels,
            schedule,
            Inputs(mean=0.5, std=0.5),
            seed=seed,
            first_epoch=epoch,
        )
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(parameter.half())
    loaded = networks.load("tiny")
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, model.state_dict()[name])


def stop_after(count, function):
    """The function, which an interrupt ends after as many calls."""
    calls = iter(range(count))

    def call(*arguments, **settings):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return function(*arguments, **settings)

    return call


@pytest.mark.parametrize("is_lost", [False, True], ids=["same cache", "another cache"])
def test_a_training_continues_in_its_last_cycle(two_cycles, tmp_path, monkeypatch, is_lost):
    expected = checksum()
    (two_cycles / "tiny.safetensors").unlink()
    networks.card("tiny")
    module = "pruncam.reproduce.reference_networks"
    monkeypatch.setattr(f"{module}.Checkpoint", partial(training.Checkpoint, pause=0))
    monkeypatch.setenv("PRUNCAM_CACHE", str(tmp_path / "second cache"))
    with monkeypatch.context() as patch:
        patch.setattr(f"{module}.Progress.advance", stop_after(2, lambda self: None))
        assert cli.main(["weights", "tiny"]) == 130
    unfinished = networks.card("tiny").unfinished
    assert unfinished["cycles"] == 1 and unfinished["precision"] == "float32"
    assert networks.names() == (), "an unfinished network is not offered"
    if is_lost:
        monkeypatch.setenv("PRUNCAM_CACHE", str(tmp_path / "third cache"))
    epochs = []
    with monkeypatch.context() as patch:
        patch.setattr(f"{module}.Progress.advance", lambda self: epochs.append(1))
        assert checksum() == expected
    assert len(epochs) == 1, "only the second cycle is trained"
    assert networks.card("tiny").unfinished == {}
    assert {path.name for path in two_cycles.iterdir()} == {"tiny.yaml", "tiny.safetensors"}


@pytest.mark.parametrize(("cycles", "epochs"), [(1, 2), (2, 3), (None, 3)])
def test_further_baselines_may_be_trained_by_the_first_cycles_alone(two_cycles, cycles, epochs):
    checksum()
    spec = {"paper": "CIFAR-10", "source": "digits", "size": 32, "width": 2, "weights": "tiny"}
    config = sp2ps.configure(
        "quick",
        datasets=[spec | {"replicate_cycles": cycles}],
        train_images=96,
        test_images=40,
        baseline_seeds=[7],
    )
    study = Sp2psStudy(config, machine=Machine("cpu"), progress=False)
    study.load()
    (first,), (second,) = study.experiments, study.replicates
    assert (first.baseline_epochs, second.baseline_epochs) == (0, epochs)
    card = networks.card("tiny")
    first_cycles = CYCLES[0] if cycles == 1 else CYCLES
    card = replace(card, recipe={**card.recipe, "one_cycle": first_cycles})
    expected = reference.train(card, second.train, seed=7).state_dict()
    for name, value in second.baseline.state_dict().items():
        assert torch.equal(value, expected[name])


@pytest.mark.parametrize("cycles", [0, 3])
def test_a_recipe_does_not_have_other_cycles_than_its_own(two_cycles, cycles):
    with pytest.raises(ValueError, match=f"'tiny' has 2 cycles: {cycles} of them"):
        reference.with_first_cycles(networks.card("tiny"), cycles)


def test_unfinished_weights_of_another_training_and_damaged_ones_are_refused(two_cycles):
    card = networks.card("tiny")
    train = catalog.load("digits", "train", at_most=96).as_rgb().resized(32)
    test = catalog.load("digits", "test", at_most=40).as_rgb().resized(32)
    earlier = reference.without_last_cycle(card)
    assert reference.unfinished_state(card, earlier, train) is None
    reference.save_unfinished(card, earlier, card.build().eval(), train, test)
    card = networks.card("tiny")
    state = reference.unfinished_state(card, earlier, train)
    assert state.keys() == card.build().state_dict().keys()
    message = "^tiny.unfinished.safetensors does not belong to the training of its card: remove"
    for other in (replace(card, seed=4), replace(card, network={**card.network, "width": 3})):
        with pytest.raises(ValueError, match=message):
            reference.unfinished_state(other, reference.without_last_cycle(other), train)
    path = card.unfinished_file
    path.write_bytes(flip_a_bit(path.read_bytes()))
    with pytest.raises(ValueError, match=message):
        reference.unfinished_state(card, earlier, train)
    path.unlink()
    with pytest.raises(ValueError, match=message):
        reference.unfinished_state(card, earlier, train)


def flip_a_bit(content):
    return content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]


@pytest.mark.parametrize("damage", [flip_a_bit, lambda content: content[:100], lambda _: b""])
def test_damaged_weights_are_refused_in_one_sentence(folder, damage):
    checksum()
    networks.load("tiny")
    path = folder / "tiny.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    message = (
        "tiny.safetensors is not the file that its card describes: "
        "install pruncam again or run `make weights NAME=tiny`"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        networks.load("tiny")


def test_unknown_names_are_refused(folder, capsys):
    checksum()
    capsys.readouterr()
    message = "unknown reference network 'vgg19': choose one of tiny"
    for function in (networks.load, networks.card):
        with pytest.raises(ValueError, match=f"^{message}$"):
            function("vgg19")
    assert cli.main(["weights", "vgg19"]) == 2
    assert capsys.readouterr().err == f"pruncam: {message}\n"


def test_missing_images_are_refused_in_one_line(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PRUNCAM_DATA", str(tmp_path))
    monkeypatch.setattr("pruncam._core.paths.project_root", lambda: tmp_path)
    data = TINY["data"] | {"source": "cifar10"}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY | {"data": data}))
    assert cli.main(["weights", "tiny"]) == 2
    assert re.fullmatch("pruncam: CIFAR-10 is missing: .*\n", capsys.readouterr().err)
    assert networks.names() == ()
