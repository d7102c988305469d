"""Families of classifiers in torchvision and timm, small, with the layers that explain them.

The layer of a family is the one that pytorch-grad-cam's README names (ResNet `layer4[-1]`, VGG,
DenseNet and MobileNet `features[-1]`, MNASNet `layers[-1]`, ViT `blocks[-1].norm1`, Swin
`layers[-1].blocks[-1].norm1`); where it names none, the output of the last block that has a feature
map. Networks have random weights, few blocks and small images.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import timm
import torch
import torchvision
from pytorch_grad_cam import GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM
from pytorch_grad_cam.utils.reshape_transforms import swinT_reshape_transform, vit_reshape_transform
from torch import Tensor, nn
from torchvision.models import vgg
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

CLASSES = 5
SEED = 0

LIBRARY = {
    "grad-cam": GradCAM,
    "grad-cam++": GradCAMPlusPlus,
    "hires-cam": HiResCAM,
    "layer-cam": LayerCAM,
}

# The output of a layer -> feature maps (N, C, h, w), by pytorch-grad-cam's own functions.
Transform = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Family:
    """A family of classifiers: a small member of it, and the layer at which it is explained.

    `transform` turns the output of the layer into maps, None if it already gives maps.
    """

    library: str
    name: str
    build: Callable[[], nn.Module]
    size: int
    layer: str
    transform: Transform | None = None

    @property
    def title(self) -> str:
        """Return the library and the name."""
        return f"{self.library} {self.name}"

    def network(self) -> tuple[nn.Module, Tensor]:
        """Return the network in eval mode, with usable weights and statistics, and one image."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            model = self.build().eval()
            _fill_empty_layers(model)
            _estimate_statistics(model, torch.rand(2, 3, self.size, self.size))
            return model, torch.rand(1, 3, self.size, self.size)


def reference_maps(family: Family, model: nn.Module, images: Tensor, method: str) -> Tensor:
    """Return the maps (N, H, W) of pytorch-grad-cam, called by hand at the layer of a family."""
    layer = model.get_submodule(family.layer)
    with LIBRARY[method](model, [layer], reshape_transform=family.transform) as cam:
        # An in-place layer after it would change the activations that the library keeps.
        shield = layer.register_forward_hook(lambda module, inputs, output: output.clone())
        try:
            return torch.from_numpy(cam(input_tensor=images, targets=None))
        finally:
            shield.remove()


def _fill_empty_layers(model: nn.Module) -> None:
    """Give random weights to linear layers that start at zero, as the heads of transformers do."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear) and not layer.weight.any():
            nn.init.normal_(layer.weight, std=0.1)


@torch.no_grad()
def _estimate_statistics(model: nn.Module, images: Tensor) -> None:
    """Set the statistics of BatchNorm to those of a batch, if the network has any."""
    layers = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in layers:
        layer.momentum = 1.0
        layer.train()
    if layers:
        model(images)
    for layer in layers:
        layer.eval()


def _channels_last(output: Tensor) -> Tensor:
    """Return maps (N, C, h, w) of an output (N, h, w, C), by the library's function for tokens."""
    _, height, width, _ = output.shape
    return swinT_reshape_transform(output.flatten(1, 2), height, width)


def _class_token(cells: int) -> Transform:
    """Return the library's transform for a class token and square maps of `cells` a side."""
    return partial(vit_reshape_transform, height=cells, width=cells)


def _patches(cells: int) -> Transform:
    """Return the library's transform for patches alone."""
    return partial(swinT_reshape_transform, height=cells, width=cells)


def _two_class_tokens(cells: int) -> Transform:
    """Return the transform for a class token and a distillation token, of which one is dropped."""
    return lambda output: vit_reshape_transform(output[:, 1:], height=cells, width=cells)


# ---------------------------------------------------------------------- torchvision


def _torchvision(name: str, size: int, layer: str, **options: Any) -> Family:
    build = partial(getattr(torchvision.models, name), num_classes=CLASSES, **options)
    return Family("torchvision", name, build, size, layer)


def _alexnet() -> nn.Module:
    """Return an AlexNet with one linear layer: its own has 10^8 weights."""
    with torch.device("meta"):
        model = torchvision.models.AlexNet(num_classes=CLASSES)
    model.classifier = nn.Linear(256 * 6 * 6, CLASSES)
    model.features.to_empty(device="cpu")
    for layer in model.features:
        if isinstance(layer, nn.Conv2d):
            layer.reset_parameters()
    return model


def _vgg() -> nn.Module:
    """Return a VGG11 of narrow convolutions and one linear layer: its own has 10^8 weights."""
    widths: list[str | int] = [8, "M", 16, "M", 32, 32, "M", 64, 64, "M", 64, 64, "M"]
    with torch.device("meta"):
        model = vgg.VGG(nn.Identity(), num_classes=CLASSES, init_weights=False)
    model.features = vgg.make_layers(widths, batch_norm=True)
    model.classifier = nn.Linear(64 * 7 * 7, CLASSES)
    return model


def _convnext() -> nn.Module:
    widths = (16, 24, 32, 48, None)
    settings = [CNBlockConfig(a, b, 1) for a, b in zip(widths, widths[1:], strict=False) if a]
    return ConvNeXt(settings, num_classes=CLASSES)


def _vision_transformer() -> nn.Module:
    return torchvision.models.VisionTransformer(
        image_size=32,
        patch_size=8,
        num_layers=3,
        num_heads=2,
        hidden_dim=16,
        mlp_dim=32,
        num_classes=CLASSES,
    )


def _swin(block: type[nn.Module] | None = None) -> nn.Module:
    options: dict[str, Any] = {}
    if block is not None:
        options["block"] = block
        options["downsample_layer"] = torchvision.models.swin_transformer.PatchMergingV2
    return torchvision.models.SwinTransformer(
        patch_size=[4, 4],
        embed_dim=16,
        depths=[1, 1, 1, 2],
        num_heads=[1, 1, 2, 2],
        window_size=[4, 4],
        num_classes=CLASSES,
        **options,
    )


def _maxvit() -> nn.Module:
    return torchvision.models.MaxVit(
        input_size=(64, 64),
        stem_channels=16,
        partition_size=4,
        block_channels=[16, 32],
        block_layers=[1, 1],
        head_dim=8,
        stochastic_depth_prob=0,
        num_classes=CLASSES,
    )


_GOOGLENET = {"aux_logits": True, "init_weights": False}
_SWIN_V2_BLOCK = torchvision.models.swin_transformer.SwinTransformerBlockV2

TORCHVISION = (
    Family("torchvision", "AlexNet", _alexnet, 160, "features.12"),
    Family("torchvision", "VGG", _vgg, 128, "features.28"),
    Family(
        "torchvision",
        "ResNet",
        partial(ResNet, BasicBlock, [1, 1, 1, 2], num_classes=CLASSES),
        128,
        "layer4.1",
    ),
    Family(
        "torchvision",
        "ResNeXt",
        partial(ResNet, Bottleneck, [1, 1, 1, 1], CLASSES, groups=32, width_per_group=4),
        128,
        "layer4.0",
    ),
    Family(
        "torchvision",
        "DenseNet",
        partial(torchvision.models.DenseNet, 8, (2, 2, 2, 2), 16, num_classes=CLASSES),
        128,
        "features.norm5",
    ),
    _torchvision("googlenet", 128, "inception5b", **_GOOGLENET),
    _torchvision("inception_v3", 171, "Mixed_7c", **_GOOGLENET),
    _torchvision("mobilenet_v2", 128, "features.18", width_mult=0.35),
    _torchvision("mobilenet_v3_small", 128, "features.12"),
    _torchvision("efficientnet_b0", 128, "features.8"),
    Family("torchvision", "ConvNeXt", _convnext, 128, "features.7"),
    _torchvision("regnet_x_400mf", 128, "trunk_output"),
    _torchvision("regnet_y_400mf", 128, "trunk_output"),
    _torchvision("mnasnet0_5", 128, "layers.16"),
    _torchvision("shufflenet_v2_x0_5", 128, "conv5"),
    _torchvision("squeezenet1_1", 96, "classifier.2"),
    Family(
        "torchvision",
        "ViT",
        _vision_transformer,
        32,
        "encoder.layers.encoder_layer_2.ln_1",
        _class_token(4),
    ),
    Family("torchvision", "Swin", _swin, 128, "features.7.1.norm1", _channels_last),
    Family(
        "torchvision",
        "Swin V2",
        partial(_swin, _SWIN_V2_BLOCK),
        128,
        "permute",
    ),
    Family("torchvision", "MaxViT", _maxvit, 64, "blocks.1"),
)


# ---------------------------------------------------------------------- timm


def _timm(
    name: str,
    size: int,
    layer: str,
    transform: Transform | None = None,
    **options: Any,
) -> Family:
    build = partial(timm.create_model, name, pretrained=False, num_classes=CLASSES, **options)
    return Family("timm", name, build, size, layer, transform)


_SMALL_VIT = {"img_size": 64, "depth": 3}
_SMALL_SWIN = {
    "img_size": 128,
    "window_size": 4,
    "embed_dim": 16,
    "depths": (1, 1, 1, 2),
    "num_heads": (1, 1, 2, 2),
}

TIMM = (
    _timm("resnet18", 128, "layer4.1"),
    _timm("resnext26ts", 128, "stages.3"),
    _timm("densenet121", 128, "features.norm5"),
    _timm("mobilenetv2_035", 128, "bn2"),
    _timm("mobilenetv3_small_050", 128, "blocks.5"),
    _timm("mobilenetv4_conv_small_035", 128, "blocks.4"),
    _timm("efficientnet_lite0", 128, "bn2"),
    _timm("convnext_atto", 128, "stages.3"),
    _timm("regnety_002", 128, "s4"),
    _timm("mnasnet_small", 128, "bn2"),
    _timm("vit_tiny_patch16_224", 64, "blocks.2.norm1", _class_token(4), **_SMALL_VIT),
    _timm("deit_tiny_patch16_224", 64, "blocks.2.norm1", _class_token(4), **_SMALL_VIT),
    _timm(
        "deit_tiny_distilled_patch16_224",
        64,
        "blocks.2.norm1",
        _two_class_tokens(4),
        **_SMALL_VIT,
    ),
    _timm("beit_base_patch16_224", 64, "blocks.2", _class_token(4), embed_dim=48, **_SMALL_VIT),
    _timm(
        "swin_tiny_patch4_window7_224",
        128,
        "layers.3.blocks.1.norm1",
        _channels_last,
        **_SMALL_SWIN,
    ),
    _timm("swinv2_tiny_window8_256", 128, "norm", _channels_last, **_SMALL_SWIN),
    _timm("maxvit_pico_rw_256", 128, "norm", img_size=128),
    _timm("mixer_s32_224", 128, "norm", _patches(4), img_size=128),
)

FAMILIES = (*TORCHVISION, *TIMM)
