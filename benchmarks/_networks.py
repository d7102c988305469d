"""Small trained networks, with images for them, that the benchmarks measure."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torchvision
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock, ResNet

from pruncam.networks import cifar_net, mnist_net

_VGG11_WIDTHS = (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M")


@dataclass(frozen=True)
class Case:
    """A trained network and images for it.

    `batch` is the fastest batch size for the plain forward pass and for the library;
    `library_images` is how many images the library gets, by the CAM methods that are measured.
    """

    model: nn.Module
    images: Tensor
    batch: int
    library_images: dict[str, int]
    rounds: int = 2


class NarrowResNet18(ResNet):
    """torchvision's ResNet-18 whose blocks have an eighth of its filters."""

    def __init__(self, classes: int) -> None:
        super().__init__(BasicBlock, [2, 2, 2, 2])
        self.fc = nn.Linear(64, classes)

    def _make_layer(
        self, block: type, planes: int, blocks: int, stride: int = 1, dilate: bool = False
    ) -> nn.Sequential:
        return super()._make_layer(block, planes // 8, blocks, stride, dilate)


def digits(size: int, channels: int) -> tuple[Tensor, Tensor]:
    """Return scikit-learn's digits as images (N, channels, size, size) in [0, 1], and labels."""
    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32)[:, None] / 16
    images = functional.interpolate(images, size=(size, size), mode="bilinear")
    images = images.expand(-1, channels, -1, -1).contiguous()
    return images, torch.tensor(data.target)


def train_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor
) -> None:
    """Take one step of training on a batch."""
    optimizer.zero_grad()
    functional.cross_entropy(model(images), labels).backward()
    optimizer.step()


@torch.no_grad()
def forward(model: nn.Module, images: Tensor, batch: int) -> None:
    """Run plain eager forward passes, the floor for everything that looks at a network."""
    for part in images.split(batch):
        model(part)


def _mnist() -> Case:
    """Return the thesis's network for MNIST."""
    model, images = _trained(mnist_net(), size=28, channels=1, steps=280)
    images = images.repeat(6, 1, 1, 1)[:10_000]
    noisy = torch.where(images == 0, 0.2 * torch.rand_like(images), images)
    library_images = {"grad-cam": 2_000, "grad-cam++": 2_000, "ablation-cam": 500}
    return Case(model, noisy, 256, library_images, rounds=5)


def _cifar() -> Case:
    """Return the Sp2PS paper's network for CIFAR-10."""
    model, images = _trained(cifar_net(), size=32, channels=3, steps=10)
    library_images = {"grad-cam": 64, "grad-cam++": 64, "ablation-cam": 1}
    return Case(model, images[:128], 16, library_images)


def _vgg11_bn() -> Case:
    """Return VGG11 with BatchNorm and one linear layer as its head."""
    network = nn.Sequential(_vgg11_bn_features(), nn.Flatten(), nn.Linear(512, 10))
    model, images = _trained(network, size=32, channels=3, steps=20)
    library_images = {"grad-cam": 128, "grad-cam++": 128, "ablation-cam": 2}
    return Case(model, images[:512], 64, library_images)


def _vgg11() -> Case:
    """Return torchvision's VGG11: no BatchNorm, ReLU in place, a head of three linear layers."""
    network = torchvision.models.vgg11(weights=None, num_classes=10)
    model, images = _trained(network, size=64, channels=3, steps=3)
    library_images = {"grad-cam": 16, "grad-cam++": 16, "ablation-cam": 1}
    return Case(model, images[:64], 32, library_images)


def _resnet50() -> Case:
    """Return torchvision's ResNet-50, with random weights."""
    model = torchvision.models.resnet50(weights=None)
    return _untrained(model, 4, {"grad-cam": 16, "grad-cam++": 16})


def _vit_b_16() -> Case:
    """Return torchvision's ViT-B/16, with random weights."""
    return _untrained(torchvision.models.vit_b_16(weights=None), 8, {"grad-cam": 8})


def _untrained(model: nn.Module, batch: int, library_images: dict[str, int]) -> Case:
    """Return a model as it is with images of noise: its speed depends on neither."""
    images = torch.randn(64, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    return Case(model.eval(), images, batch, library_images)


def _vgg11_bn_features() -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = 3
    for width in _VGG11_WIDTHS:
        if isinstance(width, str):
            layers.append(nn.MaxPool2d(2))
            continue
        layers.append(nn.Conv2d(channels, width, 3, padding=1))
        layers.append(nn.BatchNorm2d(width))
        layers.append(nn.ReLU(inplace=True))
        channels = width
    return nn.Sequential(*layers)


def _trained(model: nn.Module, size: int, channels: int, steps: int) -> tuple[nn.Module, Tensor]:
    """Train a model on digits for some steps; return it with the digits in random order."""
    images, labels = digits(size, channels)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for step in range(steps):
        batch = order.roll(-32 * step)[:32]
        train_step(model, optimizer, images[batch], labels[batch])
    return model.eval(), images[order].contiguous()


NETWORKS: dict[str, Callable[[], Case]] = {
    "MNIST network, 28x28": _mnist,
    "CIFAR network, 32x32": _cifar,
    "VGG11-BN, one linear layer, 32x32": _vgg11_bn,
    "VGG11, three linear layers, 64x64": _vgg11,
    "ResNet-50, 224x224": _resnet50,
    "ViT-B/16, 224x224": _vit_b_16,
}
