"""The graph of a forward pass, followed in one thread while others go on running models."""

import threading

from torch import fx, nn

# Followers take turns: each puts the module calls of the whole process back as it found them.
_turn = threading.RLock()


class Tracer(fx.Tracer):
    """`fx.Tracer` for use in threads: it replaces module calls for a moment, and follows its own thread's alone."""

    def trace(self, root: nn.Module, concrete_args: dict | None = None) -> fx.Graph:
        """The graph of the module's forward pass."""
        with _turn:
            self._thread = threading.get_ident()
            return super().trace(root, concrete_args)

    @property
    def follows(self) -> bool:
        """Whether whoever asks is in the thread that is followed."""
        return threading.get_ident() == self._thread

    def call_module(self, m, forward, args, kwargs):
        return super().call_module(m, forward, args, kwargs) if self.follows else forward(*args, **kwargs)

    def getattr(self, attr, attr_val, parameter_proxy_cache):
        return super().getattr(attr, attr_val, parameter_proxy_cache) if self.follows else attr_val
