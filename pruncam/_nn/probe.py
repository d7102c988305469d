"""A forward survey of a network: its layers in order, their shapes, its logits."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from pruncam._core.validation import check_layers, check_model, first_line
from pruncam._nn.hooks import add_thread_hook
from pruncam._nn.logits_graph import LogitsGraph
from pruncam._nn.outputs import Output, check_logits_shape, select_output
from pruncam._nn.wrappers import run_eagerly, unwrapped


@dataclass(frozen=True)
class LayerCall:
    """One call of a module in a forward pass.

    `name` is the module's dotted name ("" for the model itself), `input_shape` and `output_shape`
    are the shapes of its first input and its output (None if that is not a tensor), `bytes_held`
    is the size of its input and output tensors. Calls whose outputs are the same tensor with the
    same values, such as a container and its last layer, have the same `output_number`; a call
    whose first input is the output of an earlier call has that number as its `input_number`.
    `edge` and `input_edge` are the places of its output and first input in the autograd graph, if
    there is one.
    """

    name: str
    module: nn.Module
    output_shape: torch.Size | None
    bytes_held: int
    input_shape: torch.Size | None = None
    output_number: int = -1
    input_number: int = -1
    edge: GradientEdge | None = None
    input_edge: GradientEdge | None = None

    @property
    def map_size(self) -> tuple[int, int]:
        """Return the height and width of an output of shape (N, C, h, w), else (0, 0)."""
        shape = self.output_shape
        return (0, 0) if shape is None or len(shape) != 4 else (shape[2], shape[3])

    @property
    def channels(self) -> int:
        """Return the number of channels of an output of shape (N, C, h, w), else 0."""
        shape = self.output_shape
        return 0 if shape is None or len(shape) != 4 else shape[1]


@dataclass(frozen=True)
class ForwardProfile:
    """The module calls of one forward pass, in order of completion, and the logits.

    `graph` says how the logits depend on the outputs of the calls, if that was asked for.
    """

    calls: list[LayerCall]
    logits: Tensor
    graph: LogitsGraph | None = None

    def first_call(self, module: nn.Module) -> int:
        """Return the position in `calls` of the first call of `module`.

        Raises ValueError if the forward pass does not call it.
        """
        for position, call in enumerate(self.calls):
            if call.module is module:
                return position
        raise ValueError(f"{type(module).__name__} is not applied in the model's forward pass")

    def is_first_call(self, position: int) -> bool:
        """Return whether the call at `position` is the first one of its module."""
        return self.first_call(self.calls[position].module) == position

    def readable_as(self, position: int) -> str | None:
        """Return the name of a module that gives the output of a call at its first call.

        It is the innermost one: the module itself unless it was called before, else a container
        with the same output; None if there is none. The model itself does not count.
        """
        number = self.calls[position].output_number
        for other, call in enumerate(self.calls):
            if call.output_number == number and call.name and self.is_first_call(other):
                return call.name
        return None

    def last_convolutions(self) -> dict[str, tuple[int, int]]:
        """Return the name and (height, width) of the last Conv2d of every spatial size.

        In the order in which the sizes first occur: large to small for the usual classifiers.
        """
        names: dict[tuple[int, int], str] = {}
        for call in self.calls:
            if isinstance(call.module, nn.Conv2d) and call.output_shape is not None:
                height, width = call.output_shape[-2:]
                names[height, width] = call.name
        return {name: size for size, name in names.items()}


def profile_forward(
    model: nn.Module,
    images: Tensor,
    *,
    output: Output | None = None,
    graph: bool = False,
) -> ForwardProfile:
    """Run `model` in eval mode on `images` (N, C, H, W) and record every module call.

    The images are moved to the device and floating-point type of the model, which is left
    unchanged. A model in `DataParallel` or `torch.compile` is recorded without its wrapper.
    `output` selects the logits if the model returns more. With `graph`, the pass keeps its autograd
    graph. Raises ValueError if the model cannot process the images or does not return logits of
    shape (N, classes), TypeError if images without a fraction are to have gradients.
    """
    check_layers(model)
    model = unwrapped(model)
    recorder = _Recorder(model)
    inputs = placed_like(model, images)
    if graph and not inputs.is_floating_point():
        raise TypeError(
            f"images must be floating point for gradients, got {images.dtype}: convert them, "
            "since the model has no floating-point weights into whose type they could be brought"
        )
    with eval_mode(model), run_eagerly(), recorder.recording():
        if not graph:
            return ForwardProfile(recorder.calls, first_logits(model, inputs, output))
        with torch.enable_grad():
            leaf = inputs.clone().requires_grad_()
            logits = _run(model, leaf.clone(), output)  # a leaf allows no in-place operation
            edge = get_gradient_edge(leaf)
    return ForwardProfile(recorder.calls, logits.detach(), LogitsGraph(logits, edge.node))


class _Recorder:
    """Records the calls of all modules of a model, by hooks."""

    def __init__(self, model: nn.Module) -> None:
        self.calls: list[LayerCall] = []
        self._names = {module: name for name, module in model.named_modules()}
        self._outputs: list[object] = []  # held: the identity of a tensor ends with its life
        self._numbers: dict[tuple[int, int], int] = {}

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record the calls inside the context."""
        handles = [add_thread_hook(module, self._record) for module in self._names]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _record(self, module: nn.Module, inputs: tuple, output: object) -> None:
        tensors = [value for value in (*inputs, output) if isinstance(value, Tensor)]
        self._outputs.append(output)
        first = inputs[0] if inputs else None
        number = self._numbers.setdefault(_identity(output), len(self._numbers))
        call = LayerCall(
            name=self._names[module],
            module=module,
            output_shape=_shape(output),
            bytes_held=sum(tensor.nbytes for tensor in tensors),
            input_shape=_shape(first),
            output_number=number,
            input_number=self._numbers.get(_identity(first), -1),
            edge=_gradient_edge(output),
            input_edge=_gradient_edge(first),
        )
        self.calls.append(call)


def _identity(value: object) -> tuple[int, int]:
    """Return what tells a tensor from all others, and from itself before an in-place operation."""
    return id(value), value._version if isinstance(value, Tensor) else 0


def _gradient_edge(value: object) -> GradientEdge | None:
    if isinstance(value, Tensor) and value.grad_fn is not None:
        return get_gradient_edge(value)
    return None


def _shape(value: object) -> torch.Size | None:
    return value.shape if isinstance(value, Tensor) else None


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Put `model` into eval mode, then restore the mode of every submodule.

    Inference mode is switched off inside, since its tensors can never take part in a gradient.
    """
    check_model(model)
    # A frozen TorchScript model has no mode.
    training = [module for module in model.modules() if getattr(module, "training", False)]
    with torch.inference_mode(False):
        try:
            for module in training:
                module.training = False
            yield
        finally:
            for module in training:
                module.training = True


@torch.no_grad()
def first_logits(model: nn.Module, images: Tensor, output: Output | None = None) -> Tensor:
    """Return the logits (N, classes) of a few images.

    Raises ValueError if the model cannot process the images or returns something else.
    """
    return _run(model, images, output)


def _run(model: nn.Module, images: Tensor, output: Output | None) -> Tensor:
    try:
        value = model(images)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a forward pass is arbitrary code
        shape = tuple(images.shape[1:])
        message = f"the model cannot take images of shape {shape}: {first_line(error)}"
        raise ValueError(message) from error
    logits = select_output(value, output)
    check_logits_shape(logits, len(images))
    return logits


def check_fit(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    """Raise ValueError if the model cannot process the images or has too few classes for `labels`.

    The random state stays as it is.
    """
    few = images[:2]  # two: a BatchNorm without running statistics cannot work on one
    devices = [images.device] if images.is_cuda else []
    with eval_mode(model), torch.random.fork_rng(devices):
        classes = first_logits(model, few).shape[1]
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest >= classes:
        raise ValueError(
            f"the network has classes 0 to {classes - 1}, got labels from {lowest} to {highest}"
        )


def placed_like(model: nn.Module, images: Tensor) -> Tensor:
    """Return the images on the device and in the floating-point type of `model`, detached."""
    images = images.detach()
    if images.is_inference():
        images = images.clone()
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            return images.to(tensor.device, tensor.dtype)
    return images
