"""What the outputs of a model say about its classes."""

from torch import Tensor, nn
from torch.autograd.graph import Node

from pruncam._nn.outputs import Output
from pruncam._nn.probe import profile_forward

# Nodes of the autograd graph that leave all values as they are.
_SAME_VALUES = ("View", "Unsafe", "Squeeze", "Unsqueeze", "Clone", "ToCopy", "Alias", "Reshape")
_TWO_CLASSES = "cams.two_classes"


def check_classes(name: str, model: nn.Module, image: Tensor, output: Output | None) -> None:
    """Raise ValueError unless a model gives one output for each of two classes or more.

    Its outputs must be logits or probabilities of classes that exclude each other, on which
    predictions and confidences rest. A sigmoid as last operation is that of a model with a single
    class or with several labels. `image` (1, C, H, W) passes through the model.
    """
    profile = profile_forward(model, image, output=output, graph=True)
    classes = profile.logits.shape[1]
    root = None if profile.graph is None else profile.graph.root
    ends_in_sigmoid = root is not None and _ends_in_sigmoid(root.node)
    if classes == 1:
        function = "lambda p: cams.two_classes(p.logit())" if ends_in_sigmoid else _TWO_CLASSES
        raise ValueError(
            f"the {name} has a single output, so the confidence in its only class never varies: "
            f"score both classes, with output={function}"
        )
    if ends_in_sigmoid:
        raise ValueError(
            f"the {name} ends in a sigmoid over {classes} labels that do not exclude each other: "
            "score one label k at a time, with "
            "output=lambda p: cams.two_classes(p[:, k].logit())"
        )


def _ends_in_sigmoid(node: Node | None) -> bool:
    while node is not None and node.name().startswith(_SAME_VALUES):
        node = node.next_functions[0][0]
    return node is not None and node.name().startswith("Sigmoid")
