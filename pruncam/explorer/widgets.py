"""The explorer's controls, for a notebook that runs; ipywidgets is imported only where they are made."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pruncam.explorer import drawing
from pruncam.explorer.looking import Choice, Explorer, Look
from pruncam.studies.figures import TITLES

STILL = "The controls are alive in a running notebook only: open it with `make lab` and run all cells."


@dataclass(eq=False)
class Controls:
    """A control per choice, the pictures, and their text; all of it can be reached and moved by keyboard.

    Shown by a notebook, it is the controls; where nothing runs, a sentence that says so.
    """

    explorer: Explorer
    look: Look | None = field(default=None, init=False)  # what is shown
    _busy: bool = field(default=False, init=False)

    def __post_init__(self):
        import ipywidgets

        self._parts = _parts(ipywidgets)
        self._pictures, self._words = ipywidgets.HTML(), ipywidgets.HTML()
        first, *others = self._parts.values()
        columns = {"grid_template_columns": "repeat(auto-fit, minmax(min(360px, 100%), 1fr))", "max_width": "900px"}
        grid = ipywidgets.GridBox(others, layout=columns)
        self._box = ipywidgets.VBox([first, grid, self._words, self._pictures], layout={"max_width": "100%"})
        self._parts["collection"].options = list(self.explorer.collections)
        self._fill(self.explorer.first())
        for name, part in self._parts.items():
            part.observe(self._other_collection if name == "collection" else self._moved, "value")
        self._show()

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        bundle = self._box._repr_mimebundle_(**options)
        return bundle | {"text/plain": STILL}

    @property
    def choice(self) -> Choice:
        """What the controls say."""
        return Choice(**{name: part.value for name, part in self._parts.items()})

    def _fill(self, choice: Choice) -> None:
        """Offer what this collection has, and choose."""
        of, parts = self.explorer.collections[choice.collection], self._parts
        layers = [(f"{name} ({h} x {w} cells)", name) for name, (h, w) in of.layers.items()]
        offered: dict[str, Sequence] = {
            "rule": list(of.half.rules),
            "rate": [(f"{100 * rate:g} %", rate) for rate in of.rates],
            "method": [(TITLES[method], method) for method in of.half.config.methods],
            "layer": layers,
        }
        self._busy = True  # or every option that is replaced counts as a move
        try:
            parts["collection"].value = choice.collection
            parts["image"].value, parts["image"].max = (
                0,
                len(of.half.test) - 1,
            )  # first down: the next set may be smaller
            parts["image"].value = choice.image
            for name, options in offered.items():
                parts[name].options = options
                parts[name].value = getattr(choice, name)
        finally:
            self._busy = False

    def _other_collection(self, change: Any) -> None:
        if self._busy:
            return
        self._words.value = drawing.sentence("Reading the pictures and models of this data set …")
        try:
            self._fill(self.explorer.first(change["new"]))
        except (ValueError, RuntimeError, OSError) as error:
            self._apologise(error)
            return
        self._show()

    def _moved(self, change: Any) -> None:
        if not self._busy:
            self._show()

    def _show(self) -> None:
        try:
            self.look = self.explorer.look(self.choice)
        except (ValueError, RuntimeError, OSError) as error:
            self._apologise(error)
            return
        of = self.explorer.collections[self.choice.collection]
        self._words.value, self._pictures.value = drawing.words(self.look), drawing.page(of, self.look)

    def _apologise(self, error: Exception) -> None:
        """An error of a widget's callback would be seen by nobody."""
        self._words.value, self._pictures.value = drawing.sentence(str(error)), ""


def _parts(ipywidgets: Any) -> dict[str, Any]:
    """A control per field of a choice, in its order; the rest of the options come with a collection."""

    wide = {"layout": {"width": "auto", "max_width": "896px"}, "style": {"description_width": "90px"}}
    slider = wide | {"continuous_update": False}  # a slider that is dragged would ask for more than can be drawn
    return {
        "collection": ipywidgets.Dropdown(description="data set", **wide),
        "image": ipywidgets.IntSlider(0, 0, 1, description="image", **slider),
        "rule": ipywidgets.Dropdown(description="pruned by", **wide),
        "rate": ipywidgets.SelectionSlider(options=[("0 %", 0.0)], description="rate", **slider),
        "method": ipywidgets.Dropdown(description="CAM", **wide),
        "layer": ipywidgets.Dropdown(description="target layer", **wide),
    }
