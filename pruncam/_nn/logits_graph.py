"""How the logits depend on the outputs of layers, from the autograd graph of one forward pass."""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge


class LogitsGraph:
    """The paths from the image to the logits in an autograd graph.

    An edge stands for one tensor. It is a bottleneck if every path passes it: the logits depend on
    the image through that tensor alone. `root` is the edge of the logits, None without a graph.
    """

    def __init__(self, logits: Tensor, image: Node) -> None:
        self._paths_from_logits: dict[tuple[Node, int], int] = defaultdict(int)
        self._paths_to_image: dict[Node, int] = {}
        self._total = 0
        self.root: GradientEdge | None = None
        if logits.grad_fn is not None:
            self.root = get_gradient_edge(logits)
            self._count_paths(self.root, image)

    def _count_paths(self, edge: GradientEdge, image: Node) -> None:
        root = edge.node
        order = _topological_order(root)
        arriving: dict[Node, int] = defaultdict(int, {root: 1})
        self._paths_from_logits[root, edge.output_nr] = 1
        for node in order:
            for child, number in _children(node):
                self._paths_from_logits[child, number] += arriving[node]
                arriving[child] += arriving[node]
        for node in reversed(order):
            below = (self._paths_to_image[child] for child, _ in _children(node))
            self._paths_to_image[node] = 1 if node is image else sum(below)
        self._total = self._paths_to_image[root]

    @property
    def depends_on_image(self) -> bool:
        """Return whether a gradient can flow from the logits to the image."""
        return self._total > 0

    def is_bottleneck(self, edge: GradientEdge | None) -> bool:
        """Return whether all paths from the image to the logits pass a tensor."""
        return self.depends_on_image and self._paths_through(edge) == self._total

    def is_on_a_path(self, edge: GradientEdge | None) -> bool:
        """Return whether a path from the image to the logits passes a tensor."""
        return self._paths_through(edge) > 0

    def _paths_through(self, edge: GradientEdge | None) -> int:
        if edge is None:
            return 0
        above = self._paths_from_logits.get((edge.node, edge.output_nr), 0)
        return above * self._paths_to_image.get(edge.node, 0)

    @staticmethod
    def gradient(outputs: GradientEdge, by: GradientEdge, direction: Tensor) -> Tensor | None:
        """Return the gradient of a tensor by an earlier one; None if it does not depend on it.

        `direction` has the shape of the tensor and weights its values.
        """
        (gradient,) = torch.autograd.grad(
            [outputs], [by], [direction], retain_graph=True, allow_unused=True
        )
        return gradient


def _children(node: Node) -> Iterable[tuple[Node, int]]:
    return ((child, number) for child, number in node.next_functions if child is not None)


def _topological_order(root: Node) -> list[Node]:
    """Return the nodes below `root`, each before the nodes that it depends on."""
    finished: list[Node] = []
    seen = {root}
    stack = [(root, iter(list(_children(root))))]
    while stack:
        node, children = stack[-1]
        for child, _ in children:
            if child not in seen:
                seen.add(child)
                stack.append((child, iter(list(_children(child)))))
                break
        else:
            finished.append(node)
            stack.pop()
    return finished[::-1]
