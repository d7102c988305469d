"""The explorer's controls for a running notebook; ipywidgets is imported only when needed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pruncam import cams
from pruncam.explorer import drawing
from pruncam.explorer.session import Explorer, Selection, View

STATIC_NOTE = (
    "The controls only work in a running notebook: open it with `make lab` and run all cells."
)
_ERRORS = (ValueError, RuntimeError, OSError)


@dataclass(eq=False)
class Controls:
    """A control per part of a selection, with the images and their text; usable by keyboard.

    A notebook displays the controls; where nothing runs, it displays `STATIC_NOTE`.
    """

    explorer: Explorer
    view: View | None = field(default=None, init=False)  # the one on display
    _is_filling: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        import ipywidgets

        self._controls = _create_controls(ipywidgets)
        self._images = ipywidgets.HTML()
        self._status = ipywidgets.HTML()
        self._box = self._layout(ipywidgets)
        self._controls["source"].options = list(self.explorer.sources)
        self._fill(self.explorer.first_selection())
        for name, control in self._controls.items():
            handler = self._on_source if name == "source" else self._on_change
            control.observe(handler, "value")
        self._update()

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        bundle = self._box._repr_mimebundle_(**options)
        return bundle | {"text/plain": STATIC_NOTE}

    @property
    def selection(self) -> Selection:
        """Return the selection that the controls show."""
        return Selection(**{name: control.value for name, control in self._controls.items()})

    def _layout(self, ipywidgets: Any) -> Any:
        source, *others = self._controls.values()
        columns = {
            "grid_template_columns": "repeat(auto-fit, minmax(min(360px, 100%), 1fr))",
            "max_width": "900px",
        }
        grid = ipywidgets.GridBox(others, layout=columns)
        parts = [source, grid, self._status, self._images]
        return ipywidgets.VBox(parts, layout={"max_width": "100%"})

    def _fill(self, selection: Selection) -> None:
        """Offer the options of a source, and select."""
        source = self.explorer.sources[selection.source]
        options: dict[str, Sequence] = {
            "rule": source.rules,
            "rate": [(f"{100 * rate:g} %", rate) for rate in source.rates],
            "method": [(cams.METHODS[method].title, method) for method in source.methods],
            "layer": [(source.layer_text(name), name) for name in source.layers],
        }
        self._is_filling = True  # replacing options triggers the handlers
        try:
            self._controls["source"].value = selection.source
            self._fill_image(selection.image, len(source.experiment.test) - 1)
            for name, values in options.items():
                self._controls[name].options = values
                self._controls[name].value = getattr(selection, name)
        finally:
            self._is_filling = False

    def _fill_image(self, image: int, last: int) -> None:
        slider = self._controls["image"]
        slider.value = 0  # the current value may exceed the new maximum
        slider.max = last
        slider.value = image

    def _on_source(self, change: Any) -> None:
        if self._is_filling:
            return
        self._status.value = drawing.status_html("Reading images and models of this data set …")
        try:
            self._fill(self.explorer.first_selection(change["new"]))
        except _ERRORS as error:
            self._show_error(error)
            return
        self._update()

    def _on_change(self, change: Any) -> None:
        if not self._is_filling:
            self._update()

    def _update(self) -> None:
        try:
            self.view = self.explorer.view(self.selection)
        except _ERRORS as error:
            self._show_error(error)
            return
        source = self.explorer.sources[self.view.selection.source]
        self._status.value = drawing.status_html(self.view.text)
        self._images.value = drawing.view_html(source, self.view)

    def _show_error(self, error: Exception) -> None:
        """Show the message, since notebooks do not display errors of callbacks."""
        self._status.value = drawing.status_html(str(error))
        self._images.value = ""


def _create_controls(ipywidgets: Any) -> dict[str, Any]:
    """Return a control per field of a selection, in its order, still without options."""
    layout = {"width": "auto", "max_width": "896px"}
    style = {"description_width": "90px"}

    def dropdown(description: str) -> Any:
        return ipywidgets.Dropdown(description=description, layout=layout, style=style)

    # Sliders update on release: dragging would request more views than can be computed.
    image = ipywidgets.IntSlider(
        0, 0, 1, description="image", continuous_update=False, layout=layout, style=style
    )
    rate = ipywidgets.SelectionSlider(
        options=[("0 %", 0.0)],
        description="rate",
        continuous_update=False,
        layout=layout,
        style=style,
    )
    return {
        "source": dropdown("data set"),
        "image": image,
        "rule": dropdown("pruned by"),
        "rate": rate,
        "method": dropdown("CAM"),
        "layer": dropdown("target layer"),
    }
