"""JavaScript for the explorer in a browser: what the widgets of Jupyter do not offer.

Sliders of ipywidgets have no accessible name, and tell a screen reader the number of an option
("3.0") instead of its text ("60 %"); buttons of its player have no name at all. The script gives
them both, and shows the values of the pixel under the mouse. It also keeps JupyterLab from taking
the arrow keys and Enter, its shortcuts, from lists and buttons. Without it, all controls still work
by mouse.
"""

SCRIPT = """
(function (start) {
  function set(target, name, value) {
    if (target && target.getAttribute(name) !== value) { target.setAttribute(name, value); }
  }
  function prepare(root) {
    root.querySelectorAll('select, input, button, a, .noUi-handle').forEach(function (control) {
      set(control, 'data-lm-suppress-shortcuts', 'true');
    });
    root.querySelectorAll('.widget-inline-hbox').forEach(function (row) {
      var label = row.querySelector('.widget-label');
      var readout = row.querySelector('.widget-readout');
      row.querySelectorAll('.noUi-handle').forEach(function (handle) {
        if (label) { set(handle, 'aria-label', label.textContent); }
        if (readout) { set(handle, 'aria-valuetext', readout.textContent); }
      });
    });
    root.querySelectorAll('.widget-play button').forEach(function (button, number) {
      var names = ['play or pause the rates', 'stop: back to rate 0', 'repeat the rates'];
      set(button, 'aria-label', names[number]);
      set(button, 'title', names[number]);
    });
  }
  function bytes(text) {
    return Uint8Array.from(atob(text), function (letter) { return letter.charCodeAt(0); });
  }
  function showPixel(event) {
    var image = event.target;
    var panels = image.closest && image.closest('.pruncam-panels');
    if (!panels || image.tagName !== 'IMG') { return; }
    var data = panels.dataset, box = image.getBoundingClientRect();
    var height = Number(data.height), width = Number(data.width);
    var row = Math.min(height - 1, Math.floor(height * (event.clientY - box.top) / box.height));
    var column = Math.min(width - 1, Math.floor(width * (event.clientX - box.left) / box.width));
    if (row < 0 || column < 0) { return; }
    var at = row * width + column;
    var unpruned = bytes(data.unpruned)[at] / 255, pruned = bytes(data.pruned)[at] / 255;
    panels.parentElement.querySelector('.pruncam-hover').textContent =
      'Under the mouse: row ' + row + ', column ' + column + ': unpruned ' + unpruned.toFixed(2) +
      ', pruned ' + pruned.toFixed(2) + '.';
  }
  var tries = 0;
  function attach() {
    var root = start && start.closest && start.closest('.pruncam-explorer');
    if (!root) {
      if (tries++ < 100) { setTimeout(attach, 50); }
      return;
    }
    var options = {
      subtree: true, childList: true, characterData: true, attributeFilter: ['aria-valuetext']
    };
    new MutationObserver(function () { prepare(root); }).observe(root, options);
    root.addEventListener('pointermove', showPixel);
    prepare(root);
  }
  attach();
})(element);
"""


def as_output() -> dict:
    """Return the script as an output that JupyterLab runs, with nothing to see."""
    return {
        "output_type": "display_data",
        "data": {"application/javascript": SCRIPT, "text/plain": ""},
        "metadata": {},
    }
