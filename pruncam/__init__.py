"""pruncam: a pruned CNN kept its accuracy, but does it still look at the same pixels?

The names below are the public face of the package. Each is imported when it is first used, so
that `import pruncam` stays fast and needs neither PyTorch nor a notebook package.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "Machine",
    "__version__",
    "compare",
    "count_cost",
    "csg",
    "explain",
    "global_unstructured",
    "heatmaps",
    "load_network",
    "remove_filters",
    "score",
    "score_many",
    "summarize",
]

if TYPE_CHECKING:  # the same names for type checkers and editors
    from pruncam._core.machine import Machine
    from pruncam.cams import explain, heatmaps
    from pruncam.comparison import compare, load_network
    from pruncam.complexity import csg
    from pruncam.cost import count as count_cost
    from pruncam.pruning import global_unstructured, remove_filters
    from pruncam.scoring import score, score_many, summarize
else:
    _ORIGINS = {
        "Machine": ("pruncam._core.machine", "Machine"),
        "compare": ("pruncam.comparison", "compare"),
        "count_cost": ("pruncam.cost", "count"),
        "csg": ("pruncam.complexity", "csg"),
        "explain": ("pruncam.cams", "explain"),
        "global_unstructured": ("pruncam.pruning", "global_unstructured"),
        "heatmaps": ("pruncam.cams", "heatmaps"),
        "load_network": ("pruncam.comparison", "load_network"),
        "remove_filters": ("pruncam.pruning", "remove_filters"),
        "score": ("pruncam.scoring", "score"),
        "score_many": ("pruncam.scoring", "score_many"),
        "summarize": ("pruncam.scoring", "summarize"),
    }

    def __getattr__(name: str) -> Any:
        """Import a public name when it is first used (PEP 562)."""
        if name not in _ORIGINS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module, attribute = _ORIGINS[name]
        value = getattr(importlib.import_module(module), attribute)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        """Return the module's names, those not yet imported included."""
        return sorted({*globals(), *__all__})
