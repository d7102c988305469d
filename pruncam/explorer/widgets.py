"""The explorer's controls for a running notebook; ipywidgets is imported only when needed."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pruncam import cams
from pruncam._core.extras import needed_for
from pruncam.datasets import DataError
from pruncam.explorer import browser_script, downloads, page, ranking
from pruncam.explorer.session import Explorer
from pruncam.explorer.view import Selection, View

STATIC_NOTE = (
    "The controls only work in a running notebook: open it with `make lab` and run all cells."
)
ONE, METHODS, RATES = "one CAM, one rate", "all CAMs", "all rates"  # what is shown side by side
_WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
_PARTS = ("source", "image", "rule", "rate", "method", "layer")  # the fields of a selection
_FRAME_MILLISECONDS = 1200  # of the animation; a move takes a tenth of it
_ERRORS = (ValueError, RuntimeError, OSError, DataError)


@dataclass(eq=False)
class Controls:
    """A control per part of a selection, with the images and their text; usable by keyboard.

    `code` is that of the view to begin with, see `Explorer.code`. A notebook displays the controls;
    where nothing runs, it displays `STATIC_NOTE`.
    """

    explorer: Explorer
    code: str | None = None
    view: View | None = field(default=None, init=False)  # the one on display
    _is_filling: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        with needed_for("moving the controls of the explorer", "notebooks"):
            import ipywidgets

        explorer, code = self.explorer, self.code
        first = explorer.selection(code) if code else explorer.first_selection()
        self._controls = _create_controls(ipywidgets)
        self._status, self._pixel = ipywidgets.HTML(), ipywidgets.HTML()
        self._images, self._strip = ipywidgets.HTML(), ipywidgets.HTML()
        self._links = ipywidgets.HTML()
        self._box = self._layout(ipywidgets)
        self._controls["source"].options = list(explorer.sources)
        self._fill(first)
        self._observe()
        self._update()

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        # Boxes of ipywidgets 7, which Colab has, cannot tell this themselves.
        view = {"version_major": 2, "version_minor": 0, "model_id": self._box.model_id}
        return {_WIDGET_VIEW: view, "text/plain": STATIC_NOTE}

    @property
    def selection(self) -> Selection:
        """Return the selection that the controls show."""
        return Selection(**{name: self._controls[name].value for name in _PARTS})

    @property
    def pixel(self) -> tuple[int, int]:
        """Return row and column of the pixel whose values are shown, from 0 at the top left."""
        return self._controls["row"].value, self._controls["column"].value

    def open(self, code: str) -> None:
        """Show the view that a code stands for, see `Explorer.code`.

        Raises ValueError if it is no code, or stands for a view that does not exist here.
        """
        selection = self.explorer.selection(code)
        with self._filling():
            self._controls["shown"].value = ranking.ALL
        self._fill(selection)
        self._update()

    def upload(self, name: str, content: bytes) -> None:
        """Show a picture of one's own, the content of an image file.

        Raises DataError if it cannot be read as an image.
        """
        self.explorer.add_picture(name, content)
        with self._filling():
            self._controls["shown"].value = ranking.ALL
        count = self.explorer.sources[self.selection.source].image_count
        self._fill_images(self.selection, count - 1)
        self._update()

    # ------------------------------------------------------------ layout

    def _layout(self, ipywidgets: Any) -> Any:
        script = ipywidgets.Output(outputs=(browser_script.as_output(),))
        script.layout.height = "0px"
        left = ipywidgets.VBox(
            [*self._controls.values(), self._links, script],
            layout={"flex": "1 1 270px", "max_width": "340px"},
        )
        right = ipywidgets.VBox(
            [self._images, self._strip, self._pixel, self._status],
            layout={"flex": "3 1 520px", "max_width": "740px"},
        )
        box = ipywidgets.Box(
            [left, right],
            layout={"flex_flow": "row wrap", "max_width": "100%", "align_items": "flex-start"},
        )
        box.add_class("pruncam-explorer")
        return box

    def _observe(self) -> None:
        controls = self._controls
        for name in ("image", "rule", "rate", "method", "layer", "shown"):
            controls[name].observe(self._on_change, "value")
        controls["source"].observe(self._on_source, "value")
        controls["beside"].observe(lambda change: self._draw_strip(), "value")
        for name in ("row", "column"):
            controls[name].observe(lambda change: self._draw(), "value")
        controls["play"].observe(self._on_frame, "value")
        controls["upload"].observe(self._on_upload, "value")
        controls["code"].observe(self._on_code, "value")
        controls["save"].on_click(lambda button: self._offer_files())

    # ------------------------------------------------------------ options of the controls

    def _fill(self, selection: Selection) -> None:
        """Offer the options of a source, and select."""
        source = self.explorer.sources[selection.source]
        options: dict[str, Sequence] = {
            "rule": source.rules,
            "rate": [(f"{100 * rate:g} %", rate) for rate in source.rates],
            "method": [(cams.METHODS[method].title, method) for method in source.methods],
            "layer": [(source.layer_text(name), name) for name in source.layers],
        }
        height, width = source.experiment.test.shape[-2:]
        with self._filling():  # replacing options triggers the handlers
            self._controls["source"].value = selection.source
            for name, values in options.items():
                self._controls[name].options = values
                self._controls[name].value = getattr(selection, name)
            self._controls["play"].max = len(source.rates) - 1
            self._fill_images(selection, selection.image)
            for name, size in (("row", height), ("column", width)):
                self._controls[name].value = 0  # the current value may exceed the new maximum
                self._controls[name].max = size - 1
                self._controls[name].value = size // 2

    def _fill_images(self, selection: Selection, image: int) -> None:
        """Offer the images that are to be shown, and select one; without any, all of them."""
        source, shown = self.explorer.sources[selection.source], self._controls["shown"]
        numbers = self.explorer.images(_first_image(selection), shown.value)
        with self._filling():
            if not numbers:
                shown.value = ranking.ALL
            if shown.value == ranking.ALL:
                numbers = list(range(source.image_count))
            control = self._controls["image"]
            control.options = [(_name(source, number), number) for number in numbers]
            control.value = image if image in numbers else numbers[0]

    @contextmanager
    def _filling(self) -> Iterator[None]:
        """Ignore the handlers inside."""
        before, self._is_filling = self._is_filling, True
        try:
            yield
        finally:
            self._is_filling = before

    # ------------------------------------------------------------ handlers

    def _on_source(self, change: Any) -> None:
        if self._is_filling:
            return
        self._say("Reading images and models of this data set …")
        self._try(lambda: self._fill(self.explorer.first_selection(change["new"])))

    def _on_change(self, change: Any) -> None:
        if self._is_filling:
            return
        shown, changed = self._controls["shown"], change["owner"]
        is_other_network = shown.value != ranking.ALL and changed is not self._controls["image"]
        if changed is shown or is_other_network:
            self._say("Reading the heatmaps of all test images …")
            start_over = changed is shown and shown.value == ranking.MOVED
            self._try(lambda: self._choose_images(-1 if start_over else self.selection.image))
        else:
            self._update()

    def _choose_images(self, image: int) -> None:
        """Offer the images that are to be shown; keep `image`, or begin with the first one."""
        asked = self._controls["shown"].value
        self._fill_images(self.selection, image)
        if self._controls["shown"].value != asked:
            self._update()
            raise ValueError(f"no test image for '{asked}': all of them are offered")

    def _on_frame(self, change: Any) -> None:
        self._controls["rate"].index = change["new"]

    def _on_upload(self, change: Any) -> None:
        if not change["new"]:
            return
        file = change["new"][0]
        self._try(lambda: self.upload(file["name"], bytes(file["content"])), update=False)
        self._controls["upload"].value = ()  # so that the same file can be chosen again

    def _on_code(self, change: Any) -> None:
        if not self._is_filling:
            self._try(lambda: self.open(change["new"]), update=False)

    def _offer_files(self) -> None:
        if self.view is not None:
            self._links.value = downloads.links_html(downloads.files(self.explorer, self.view))

    def _try(self, action: Callable[[], None], update: bool = True) -> None:
        """Do something and show the view; show the message if it fails."""
        try:
            action()
        except _ERRORS as error:
            self._say(str(error))
            return
        if update:
            self._update()

    # ------------------------------------------------------------ what is shown

    def _update(self) -> None:
        try:
            self.view = self.explorer.view(self.selection)
        except _ERRORS as error:
            self._show_error(error)
            return
        self._say(self.view.text)
        self._links.value = ""
        self._draw()
        self._draw_strip()
        with self._filling():
            self._controls["code"].value = self.explorer.code(self.view.selection)
            self._controls["play"].value = self._controls["rate"].index

    def _draw(self) -> None:
        """Draw the images with the marked pixel, and say its values."""
        if self.view is None or self._is_filling:
            return
        source = self.explorer.sources[self.view.selection.source]
        self._images.value = page.view_html(source, self.view, self.pixel)
        self._pixel.value = page.text_html(self.view.pixel_text(*self.pixel))

    def _draw_strip(self) -> None:
        """Draw the same image by all CAMs, or at all rates, if that is asked for."""
        beside = self._controls["beside"].value
        if self.view is None or beside == ONE:
            self._strip.value = ""
            return
        selection = self.view.selection
        if beside == METHODS:
            views = map(self.explorer.view, self.explorer.every_method(selection))
            named = {cams.METHODS[view.selection.method].title: view for view in views}
            self._strip.value = page.strip_html(named, ("unpruned", "pruned"))
        else:
            views = map(self.explorer.view, self.explorer.every_rate(selection))
            named = {f"{100 * view.selection.rate:g} %": view for view in views}
            self._strip.value = page.strip_html(named, ("pruned",))

    def _say(self, text: str) -> None:
        self._status.value = page.status_html(text)

    def _show_error(self, error: Exception) -> None:
        """Show the message, since notebooks do not display errors of callbacks."""
        self._say(str(error))
        for part in (self._images, self._strip, self._pixel, self._links):
            part.value = ""


def _first_image(selection: Selection) -> Selection:
    """Return the selection with image 0, which exists in every source."""
    return Selection(**{**vars(selection), "image": 0})


def _name(source: Any, image: int) -> str:
    return f"{image}: {source.label(image) or source.file(image)}"


def _create_controls(ipywidgets: Any) -> dict[str, Any]:
    """Return all controls in their order on the page, still without options."""
    layout = {"width": "auto"}
    style = {"description_width": "86px"}
    common = {"layout": layout, "style": style}

    def dropdown(description: str, options: Sequence = ()) -> Any:
        return ipywidgets.Dropdown(description=description, options=options, **common)

    def pixel(description: str) -> Any:
        return ipywidgets.IntSlider(0, 0, 1, description=description, **lazy)

    # Sliders update on release: dragging would request more views than can be computed.
    lazy = {"continuous_update": False, **common}
    rate = ipywidgets.SelectionSlider(
        options=[("0 %", 0.0), ("1 %", 0.01)], description="rate", **lazy
    )
    play = ipywidgets.Play(
        min=0, max=1, interval=_FRAME_MILLISECONDS, description="play", layout=layout
    )
    code = ipywidgets.Text(
        description="view",
        continuous_update=False,
        placeholder="paste the code of a view",
        **common,
    )
    upload = ipywidgets.FileUpload(
        accept="image/*", multiple=False, description="your own picture", layout=layout
    )
    return {
        "source": dropdown("data set"),
        "shown": dropdown("images", ranking.SHOWN),
        "image": dropdown("image"),
        "rule": dropdown("pruned by"),
        "rate": rate,
        "play": play,
        "method": dropdown("CAM"),
        "layer": dropdown("target layer"),
        "beside": dropdown("side by side", (ONE, METHODS, RATES)),
        "row": pixel("pixel row"),
        "column": pixel("pixel column"),
        "upload": upload,
        "code": code,
        "save": ipywidgets.Button(description="files of this view", layout=layout),
    }
