"""PyTorch's optimisers without their links to its compiler, whose import takes seconds."""

import inspect

import torch


def _without_compiler(optimizer: type[torch.optim.Optimizer]) -> dict[str, object]:
    """Return the methods that import `torch._dynamo` as they are behind their decorators."""
    decorated = ("add_param_group", "state_dict", "load_state_dict", "zero_grad")
    methods = {name: inspect.unwrap(getattr(optimizer, name)) for name in decorated}
    return methods | {"step": torch.no_grad()(inspect.unwrap(optimizer.step))}


SGD = type("SGD", (torch.optim.SGD,), _without_compiler(torch.optim.SGD))
Adam = type("Adam", (torch.optim.Adam,), _without_compiler(torch.optim.Adam))
