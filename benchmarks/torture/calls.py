"""Calls of the public functions with drawn arguments: each ends in a result or a clear sentence.

A call passes usual values for most arguments and up to two others: likely mistakes, or anything at
all. It is drawn by hypothesis from a fixed seed, so that the same calls come again. An error is
clear if a `raise` statement of pruncam raises it, with a documented type and one line that names an
argument or a value; it is raw if it comes from a library or from an expression.
"""

import contextlib
import dis
import io
import logging
import re
import reprlib
import signal
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import pruncam
from benchmarks.torture.call_catalogue import FUNCTIONS, Function
from benchmarks.torture.call_values import ANYTHING
from benchmarks.torture.outcome import Outcome
from pruncam import metrics
from pruncam.datasets import DataError

CLEAR, RAW, ACCEPTED, WRONG, HUNG = "clear", "raw", "accepted", "wrong", "hung"
LIMIT = 5  # seconds that a call may take
BATCH = 500  # calls drawn from one seed

_DOCUMENTED = (ValueError, TypeError, DataError, OSError, ImportError)
_LONGEST = 600  # characters of a message
# What messages call arguments whose names are short or symbols.
_WORDS = {
    "x": ("heatmap", "series", "value", "interval"),
    "y": ("heatmap", "series", "value", "interval"),
    "c_x": ("confidence",),
    "c_y": ("confidence",),
    "structure": ("score",),
    "spectrum": ("score",),
    "maps": ("heatmap",),
    "model": ("network", "weights"),
    "correct": ("successes", "trials"),
    "images": ("trials",),
    "baseline": ("model", "network", "checkpoint", "prune"),
    "pruned": ("model", "network", "checkpoint"),
    "table": ("sweep", "csg", "rate", "rates", "acc_drop", "pe"),
    "datasets": ("data", "source"),
    "embedded": ("embed",),
    "spec": ("imported", "model"),
    "reshape": ("imported",),
    "new": ("mask", "prune"),
    "origin": ("mask", "prune"),
}
_PACKAGE = str(Path(pruncam.__file__).parent)


@dataclass(frozen=True)
class Call:
    """A function and the values of its arguments: a name for each, and how it is made."""

    function: Function
    values: dict[str, tuple[str, Callable[[], Any]]]
    is_likely: bool

    def __str__(self) -> str:
        arguments = ", ".join(f"{key}={text}" for key, (text, _) in self.values.items())
        return f"{self.function.name}({arguments})"


@dataclass(frozen=True)
class Verdict:
    """What came of a call: the verdict, and for an error its type, place and message."""

    kind: str
    text: str = ""
    place: str = ""


class _TooLong(BaseException):
    """A call takes longer than the limit."""


# ---------------------------------------------------------------- drawing


@st.composite
def calls(draw: st.DrawFn, functions: Sequence[Function] = FUNCTIONS) -> Call:
    """Draw a call with up to two unusual arguments."""
    weighted = [function for function in functions for _ in range(function.weight)]
    function = draw(st.sampled_from(weighted))
    unusual = draw(st.lists(st.sampled_from(sorted(function.arguments)), max_size=2, unique=True))
    is_likely = draw(st.booleans())
    values = {}
    for name, kind in function.arguments.items():
        choices = kind.usual
        if name in unusual:
            choices = (kind.likely or ANYTHING) if is_likely else ANYTHING
        elif name in function.optional and draw(st.booleans()):
            continue
        text = draw(st.sampled_from(sorted(choices)))
        values[name] = (text, choices[text])
    return Call(function, values, is_likely)


def drawn_calls(
    number: int, count: int = BATCH, functions: Sequence[Function] = FUNCTIONS
) -> list[Call]:
    """Return the calls of the seed `number`."""
    found: list[Call] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(calls(functions))
    def collect(call: Call) -> None:
        found.append(call)

    collect()
    return found


# ---------------------------------------------------------------- judging


def judge(call: Call) -> Verdict:
    """Make a call and say what came of it."""
    with _quiet():
        arguments = {name: make() for name, (_, make) in call.values.items()}
    try:
        with _quiet(), _limited(LIMIT):
            result = call.function.call(**arguments)
    except _TooLong:
        return Verdict(HUNG, f"more than {LIMIT} s")
    except Exception as error:
        return _judge_error(error, call, arguments)
    fault = call.function.promise(result)
    return Verdict(ACCEPTED) if fault is None else Verdict(WRONG, fault, call.function.name)


def _judge_error(error: Exception, call: Call, arguments: dict[str, Any]) -> Verdict:
    message = str(error)
    place = _place(error.__traceback__)
    text = f"{type(error).__name__}: {message}"
    is_clear = _is_raised_by_pruncam(error.__traceback__) and isinstance(error, _DOCUMENTED)
    is_one_line = 0 < len(message) <= _LONGEST and "\n" not in message.strip()
    if is_clear and is_one_line and _names_argument(message, call, arguments):
        return Verdict(CLEAR, text, place)
    return Verdict(RAW, text, place)


def _is_raised_by_pruncam(traceback: TracebackType | None) -> bool:
    """Return whether a `raise` statement in a file of pruncam raised the error."""
    *_, last = _frames(traceback)
    code = last.tb_frame.f_code
    opcode = dis.opname[code.co_code[last.tb_lasti]]
    return code.co_filename.startswith(_PACKAGE) and opcode == "RAISE_VARARGS"


def _place(traceback: TracebackType | None) -> str:
    """Return the innermost line of pruncam, as `cams/validation.py:12`."""
    places = [
        f"{Path(frame.tb_frame.f_code.co_filename).relative_to(_PACKAGE)}:{frame.tb_lineno}"
        for frame in _frames(traceback)
        if frame.tb_frame.f_code.co_filename.startswith(_PACKAGE)
    ]
    return places[-1] if places else "outside of pruncam"


def _frames(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _names_argument(message: str, call: Call, arguments: dict[str, Any]) -> bool:
    """Return whether a message holds a word of an argument's name, or the value of one."""
    names = call.function.arguments
    words = {word for name in names for word in (name.lower(), *name.lower().split("_"))}
    words |= {word.rstrip("s") for word in words if len(word) > 3}
    words |= {word for name in names for word in _WORDS.get(name, ())}
    words |= {type(value).__name__.lower() for value in arguments.values()}
    words |= set(re.findall("[a-z]{3,}", call.function.name.lower()))
    used = {*re.findall("[a-z_]+", message.lower()), *re.findall("[a-z_0-9]+", message.lower())}
    used |= {word.rstrip("s") for word in used}
    values = [reprlib.repr(value) for value in arguments.values()]
    values += [str(value) for value in arguments.values() if isinstance(value, str | Path)]
    return bool(words & used) or any(text and text in message for text in values)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    previous = logging.root.manager.disable
    logging.disable()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            with contextlib.redirect_stdout(io.StringIO()):
                yield
    finally:
        logging.disable(previous)


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise _TooLong inside the context after some seconds."""

    def stop(*_: Any) -> None:
        raise _TooLong

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


# ---------------------------------------------------------------- the part of `make torture`


def run(seconds: float) -> list[Outcome]:
    """Draw calls for some seconds; count those that ended clearly, by likely mistakes and others.

    Prints how many there were of each verdict.
    """
    _import_what_is_slow()
    outcomes = {
        True: Outcome("calls with likely mistakes, none with a raw error or a wrong result"),
        False: Outcome("calls with arguments of any type"),
    }
    counts: Counter[str] = Counter()
    examples: dict[tuple[bool, str], list[Call]] = defaultdict(list)
    end = time.monotonic() + seconds
    for call in _until(end):
        start = time.monotonic()
        verdict = judge(call)
        outcome = outcomes[call.is_likely]
        outcome.seconds += time.monotonic() - start
        outcome.total += 1
        counts[verdict.kind] += 1
        if verdict.kind in (CLEAR, ACCEPTED):
            outcome.passed += 1
        else:
            error = verdict.text.partition(":")[0] if verdict.kind == RAW else verdict.text
            group = f"{verdict.kind}: {call.function.name}, {error}, {verdict.place}"
            examples[call.is_likely, group].append(call)
    for (is_likely, group), found in sorted(examples.items(), key=lambda item: -len(item[1])):
        outcomes[is_likely].failures.append(f"{len(found)} x {group}, such as {found[0]}")
    print(", ".join(f"{count:,} {kind}" for kind, count in counts.most_common()), flush=True)
    return list(outcomes.values())


def _import_what_is_slow() -> None:
    """Import what a first call would import for seconds."""
    from torchvision import models

    models.list_models()
    torch.ones(2, device="meta").softmax(0)
    metrics.ssim(torch.ones(1, 8, 8), torch.ones(1, 8, 8))  # compiles its kernel


def _until(end: float) -> Iterator[Call]:
    number = 0
    while True:
        for call in drawn_calls(number):
            if time.monotonic() >= end:
                return
            yield call
        number += 1
