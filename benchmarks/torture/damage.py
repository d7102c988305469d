"""One flipped bit in a file: the result is identical, or a sentence names the file.

Outside are JPEG files in a folder and safetensors without a `.sha256` beside them: their formats
have no checksums. A comparison says so, and its manifest has the SHA-256 of the decoded pixels and
of the checkpoints, which tells two runs apart.
"""

import json
import random
import time
import warnings
from pathlib import Path

from benchmarks.torture import references
from benchmarks.torture.damaged_files import KINDS, Kind
from benchmarks.torture.outcome import Outcome
from benchmarks.torture.references import Workspace


def run(seconds: float) -> list[Outcome]:
    """Damage files of every kind for equal shares of the time, all in one process."""
    workspace = Workspace(references.scratch() / "damage")
    answers = workspace.folder / "answers.json"
    child = workspace.start(_damage_all, workspace.folder, seconds, answers)
    failure = child.result()
    if failure:
        return [Outcome("damaged files", 0, 1, [failure])]
    return [Outcome(**answer) for answer in json.loads(answers.read_text())]


def _damage_all(folder: Path, seconds: float, answers: Path) -> None:
    """Write the outcome of every kind of file to `answers`."""
    outcomes = []
    for kind in KINDS:
        start = time.monotonic()
        outcome = Outcome(f"one flipped bit in {kind.name}")
        files, read = kind.write(folder / kind.slug)
        expected = read()
        number = 0
        while number < 5 or time.monotonic() < start + seconds / len(KINDS):
            outcome.count(_trial(kind, files, read, expected, number))
            number += 1
        outcome.seconds = time.monotonic() - start
        outcomes.append(vars(outcome))
    answers.write_text(json.dumps(outcomes))


def _trial(kind: Kind, files: list[Path], read, expected: str, number: int) -> str | None:
    """Flip one bit and read; return what is wrong."""
    draw = random.Random(f"{kind.name} {number}")
    path = draw.choice(files)
    content = path.read_bytes()
    position, bit = draw.randrange(len(content)), draw.randrange(8)
    flipped = bytes([content[position] ^ 1 << bit])
    state = path.stat()
    path.write_bytes(content[:position] + flipped + content[position + 1 :])
    place = f"trial {number}: bit {bit} of byte {position} of {path.name}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = read()
    except Exception as error:
        text = str(error)
        is_named = any(name in text for name in (path.name, str(path.parent)))
        if type(error).__module__.startswith("torch") or not is_named or "\n" in text:
            return f"{place}: {type(error).__name__}: {text[:200]}"
        return None
    finally:
        path.write_bytes(content)
        kind.restore(path, state)
    return None if result == expected else f"{place}: another result, in silence"
