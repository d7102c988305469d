"""Rules for committed notebooks: they stay thin, and nbval compares something in each of them.

In lax mode nbval ignores a misspelt tag, a cell that never ran and a notebook without tagged cells.
At the end of this file each rule is broken once, to see that it is caught. Worked solutions follow
the same rules, except that they have no parameters and may be short; and they answer all exercises
of their notebook, quoted word for word.
"""

import ast
import copy
import io
import json
import re
import tokenize
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SOLUTIONS = sorted((FOLDER / "solutions").glob("*.ipynb"))
NBVAL_TAGS = {"nbval-check-output", "nbval-ignore-output", "nbval-skip"}
CELLS = range(12, 46)
SOLUTION_CELLS = range(6, 26)
MARKDOWN = 0.35
MEGABYTES = 4
# From the root of a disk, at the start of a word; base64 images are removed before.
ABSOLUTE = re.compile(r"(?:^|[\s\"'`(=\[,>])(/(?:[\w.+-]+/)+[\w.+-]*|[A-Za-z]:\\\w|file://)")
EMBEDDED = re.compile(r"data:[\w/+.-]+;base64,[\w/+=]+")
OPENED = {"00", "01", "02", "03", "04", "05"}  # notebooks of a method, whose box they open
READING_ORDER = ("00", "05", "03", "04", "01", "02", "06", "07")
BOX_LINES = 20
GOALS = 3
GRADES = ("**Look** (easy). ", "**Change** (medium). ", "**Think** (open). ")
MY_NUMBER = re.compile(r"^my_\w+ = None  # ", re.MULTILINE)
DETAILS = re.compile(r"<details>.*?(?:</details>|\Z)", re.DOTALL)
FOLDED = re.compile(
    r"<details><summary><b>Self-check\.</b> .+\?</summary>\n\n.+\n\n</details>", re.DOTALL
)
REFUSED = {
    ast.FunctionDef: "defines a function: it belongs in the package",
    ast.AsyncFunctionDef: "defines a function: it belongs in the package",
    ast.ClassDef: "defines a class: it belongs in the package",
    ast.For: "has a loop: it belongs in the package",
    ast.AsyncFor: "has a loop: it belongs in the package",
    ast.While: "has a loop: it belongs in the package",
}


# ---------------------------------------------------------------- the rules


def problems(notebook: dict, size: int = 0, *, opened: bool = True) -> list[str]:
    """Return all problems of a notebook; `opened`: it must open the box of its method."""
    return [
        *shape(notebook, size, CELLS),
        *parameters(notebook),
        *contents(notebook),
        *lesson(notebook),
        *(boxes(notebook) if opened else []),
    ]


def solution_problems(solution: dict, notebook: dict, size: int = 0) -> list[str]:
    """Return all problems of the worked solutions of a notebook."""
    return [
        *shape(solution, size, SOLUTION_CELLS),
        *contents(solution),
        *executed(solution),
        *answers(solution, notebook),
    ]


def contents(notebook: dict) -> list[str]:
    """Return the problems of the cells."""
    problems = [*checked_cells(notebook)]
    for number, cell in enumerate(notebook["cells"], start=1):
        problems += [f"cell {number} {problem}" for problem in cell_problems(cell)]
    return problems


def shape(notebook: dict, size: int, allowed: range) -> Iterator[str]:
    """Check the size, the title, the share of prose and the kernel."""
    cells = notebook["cells"]
    prose = sum(cell["cell_type"] == "markdown" for cell in cells)
    if len(cells) not in allowed:
        yield f"has {len(cells)} cells, not {allowed[0]} to {allowed[-1]}"
    if prose < MARKDOWN * len(cells):
        yield f"has {prose} markdown cells of {len(cells)}, less than {MARKDOWN:.0%}"
    if not (cells and cells[0]["cell_type"] == "markdown" and cells[0]["source"].startswith("# ")):
        yield "does not begin with a title"
    if notebook["metadata"].get("kernelspec", {}).get("name") != "python3":
        yield "has a kernel other than python3"
    if size >= MEGABYTES * 2**20:
        yield f"is larger than {MEGABYTES} MiB"
    if "papermill" in json.dumps([notebook["metadata"], *(cell["metadata"] for cell in cells)]):
        yield "carries papermill's metadata: refresh it with `make notebooks`"


def lesson(notebook: dict) -> Iterator[str]:
    """Check goals, prerequisites and time, self-checks, graded exercises and what comes next."""
    opening = notebook["cells"][0]["source"]
    _, _, goals = opening.partition("**Goals.** After this notebook you can")
    if len(re.findall(r"^- ", goals.partition("\n\n**")[0], re.MULTILINE)) < GOALS:
        yield f"does not open with {GOALS} goals or more"
    if "\n\n**Before you start.** " not in opening:
        yield "does not open with what to know before"
    if not re.search(r"\n\n\*\*Time\.\*\* [^*]*\bmin", opening):
        yield "does not open with the minutes it takes"
    folds = DETAILS.findall(markdown(notebook))
    if not (folds and all(FOLDED.fullmatch(fold) for fold in folds)):
        yield "has no self-check with its answer folded, or one that would not fold"
    if not any(checks_a_number(cell) for cell in notebook["cells"]):
        yield "has no self-check of the reader's own number"
    grades = [grade(text) for text in exercises(notebook).values()]
    if sorted(grades) != grades or set(grades) != set(range(len(GRADES))):
        yield "has exercises that are not graded from easy to open"
    if not markdown(notebook).rstrip().rpartition("\n\n")[2].startswith("Next: "):
        yield "does not end with what comes next"


def checks_a_number(cell: dict) -> bool:
    """Return whether a cell waits for a number of the reader, and has none yet."""
    if cell["cell_type"] != "code" or not MY_NUMBER.search(cell["source"]):
        return False
    return [output.get("text") for output in cell["outputs"]] == ["no answer yet\n"]


def grade(exercise: str) -> int:
    """Return the place of an exercise's grade, -1 without one."""
    return next((n for n, words in enumerate(GRADES) if exercise.startswith(words)), -1)


def boxes(notebook: dict) -> Iterator[str]:
    """Check that sections "Open the box" have an equation and a cell that equals the package."""
    sections = box_sections(notebook)
    if not sections:
        yield 'has no section "## Open the box: ..."'
    for title, cells in sections.items():
        if not any("$$" in cell["source"] for cell in cells if cell["cell_type"] == "markdown"):
            yield f"has no equation in {title}"
        checked = [cell for cell in cells if "nbval-check-output" in tags(cell)]
        if len(checked) != 1:
            yield f"has {len(checked)} checked cells in {title}, not one"
            continue
        if len(checked[0]["source"].splitlines()) > BOX_LINES:
            yield f"has a cell of more than {BOX_LINES} lines in {title}"
        text = "".join(output.get("text", "") for output in checked[0]["outputs"])
        if not re.search(r"^equal to the package.*: True\n\Z", text, re.MULTILINE):
            yield f"does not equal the package in {title}"


def box_sections(notebook: dict) -> dict[str, list[dict]]:
    """Return the cells of the sections "Open the box" by title, each with its heading."""
    sections: dict[str, list[dict]] = {}
    title = ""
    for cell in notebook["cells"]:
        headings = re.findall(r"^## (.+)", cell["source"], re.MULTILINE)
        if cell["cell_type"] == "markdown" and headings:
            title = headings[-1]
        if title.startswith("Open the box: "):
            sections.setdefault(title, []).append(cell)
    return sections


def tags(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


def parameters(notebook: dict) -> Iterator[str]:
    """Check that there is one parameters cell, each parameter typed, literal and commented.

    A value derived from others would not follow the values that papermill injects.
    """
    cells = [cell for cell in notebook["cells"] if "parameters" in tags(cell)]
    if len(cells) != 1:
        yield f"has {len(cells)} cells tagged parameters, not one"
        return
    comments = {token.start[0] for token in tokens(cells[0]) if token.type == tokenize.COMMENT}
    for statement in parsed(cells[0]).body:
        if not isinstance(statement, ast.AnnAssign) or statement.value is None:
            yield f"has a parameter without a type or value: {ast.unparse(statement)}"
        elif not is_literal(statement.value):
            yield f"has a parameter that is not a literal: {ast.unparse(statement)}"
        elif statement.end_lineno not in comments:
            yield f"has a parameter without a comment: {ast.unparse(statement)}"


def checked_cells(notebook: dict) -> Iterator[str]:
    """Check that nbval compares at least one cell, and has something to compare in each."""
    cells = [cell for cell in notebook["cells"] if "nbval-check-output" in tags(cell)]
    if not cells:
        yield "has no cell tagged nbval-check-output: nothing would be compared"
    if not all(cell.get("execution_count") and cell.get("outputs") for cell in cells):
        yield "has a checked cell that never ran or shows nothing"


def executed(solution: dict) -> Iterator[str]:
    """Check that every cell has run, from top to bottom."""
    counts = [
        cell.get("execution_count") for cell in solution["cells"] if cell["cell_type"] == "code"
    ]
    if counts != list(range(1, len(counts) + 1)):
        yield "was not run from top to bottom"


def answers(solution: dict, notebook: dict) -> Iterator[str]:
    """Check that all exercises are answered, each quoted under a heading."""
    original, quoted = exercises(notebook), quoted_exercises(solution)
    if list(original) != list(quoted):
        yield f"answers exercises {list(quoted)}, the notebook has {list(original)}"
    for number in original.keys() & quoted.keys():
        if original[number] != quoted[number]:
            yield f"does not quote exercise {number} as the notebook has it"


def exercises(notebook: dict) -> dict[int, str]:
    """Return the numbered paragraphs under "Try it yourself" by number."""
    _, _, text = markdown(notebook).partition("## Try it yourself\n")
    return {
        int(n): " ".join(item.split())
        for n, item in re.findall(r"^(\d+)\. (.+(?:\n {3}.+)*)", text, re.MULTILINE)
    }


def quoted_exercises(solution: dict) -> dict[int, str]:
    """Return the block quotes under the headings "Exercise N" by number."""
    quotes = re.findall(r"^## Exercise (\d+)\n\n((?:>.*\n)+)", markdown(solution), re.MULTILINE)
    return {
        int(number): " ".join(quote.replace("\n>", " ").lstrip("> ").split())
        for number, quote in quotes
    }


def markdown(notebook: dict) -> str:
    cells = [cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    return "\n\n".join(cells) + "\n"


def glossary_problems(text: str) -> list[str]:
    """Check that terms begin a paragraph in bold, each once, in alphabetical order."""
    terms = re.findall(r"^\*\*(.+?)\*\*", text, re.MULTILINE)
    problems = [] if terms else ["has no term"]
    problems += [f"explains {term} twice" for term, count in Counter(terms).items() if count > 1]
    for term, following in zip(terms, terms[1:], strict=False):
        if term.casefold() > following.casefold():
            problems.append(f"has {term} before {following}")
    return problems


def cell_problems(cell: dict) -> Iterator[str]:
    """Check one cell and its outputs."""
    unknown = [tag for tag in tags(cell) if "nbval" in tag.lower() and tag not in NBVAL_TAGS]
    if unknown:
        yield f"has unknown tags {unknown}: nbval would ignore them"
    if {"raises-exception", "nbval-raises-exception"} & set(tags(cell)):
        yield "is tagged as raising: papermill would fail there"
    if ABSOLUTE.search(cell["source"]):
        yield f"has an absolute path: {ABSOLUTE.search(cell['source'])[1]}"
    if cell["cell_type"] == "code":
        yield from code_problems(cell)
        yield from output_problems(cell)


def code_problems(cell: dict) -> Iterator[str]:
    """Check that there is no function, class, loop, magic or trailing semicolon."""
    try:
        nodes = list(ast.walk(parsed(cell)))
    except SyntaxError:
        yield "is not plain Python"
        return
    yield from sorted({REFUSED[type(node)] for node in nodes if type(node) in REFUSED})
    if any(
        isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Lambda)
        for node in nodes
    ):
        yield "assigns a lambda: it belongs in the package"
    blank = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER)
    if [token.string for token in tokens(cell) if token.type not in blank][-1:] == [";"]:
        yield "ends with a semicolon, which nbval does not honour"


def output_problems(cell: dict) -> Iterator[str]:
    """Check that there are no errors, warnings or paths of the machine that ran it."""
    for output in cell["outputs"]:
        if output["output_type"] == "error":
            yield "ended in an error"
        if output.get("name") == "stderr":
            yield "wrote to stderr"
        texts = [
            output.get("text", ""),
            *(v for k, v in output.get("data", {}).items() if k.startswith("text/")),
        ]
        for path in ABSOLUTE.finditer(EMBEDDED.sub("", "\n".join(texts))):
            yield f"shows an absolute path: {path[1]}"


def parsed(cell: dict) -> ast.Module:
    return ast.parse(cell["source"])


def tokens(cell: dict) -> list[tokenize.TokenInfo]:
    return list(tokenize.generate_tokens(io.StringIO(cell["source"]).readline))


def is_literal(value: ast.expr) -> bool:
    """Return whether an expression is a plain value."""
    try:
        ast.literal_eval(value)
    except ValueError:
        return False
    return True


# ---------------------------------------------------------------- the committed notebooks


def test_there_are_notebooks():
    assert NOTEBOOKS, "no notebook to check: every test below would pass"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_committed_notebook_keeps_the_rules(path):
    assert re.match(r"\d\d_\w+\.ipynb", path.name), "notebooks must be named NN_name.ipynb"
    opened = path.name[:2] in OPENED
    assert problems(nbformat.read(path, 4), path.stat().st_size, opened=opened) == []


def test_notebooks_lead_from_one_to_the_next():
    by_number = {path.name[:2]: path for path in NOTEBOOKS}
    assert sorted(READING_ORDER) == sorted(by_number)
    for number, following in zip(READING_ORDER, READING_ORDER[1:], strict=False):
        text = markdown(nbformat.read(by_number[number], 4))
        assert by_number[following].name in text.rpartition("\nNext: ")[2]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_exercise_has_a_worked_solution(path):
    notebook, solution = nbformat.read(path, 4), solution_of(path)
    assert exercises(notebook), 'a notebook ends with exercises, under "## Try it yourself"'
    assert solution.is_file(), (
        f"the exercises of {path.name} have no {solution.relative_to(FOLDER)}"
    )
    assert solution_problems(nbformat.read(solution, 4), notebook, solution.stat().st_size) == []


def test_every_solution_has_its_notebook():
    assert set(SOLUTIONS) <= {solution_of(path) for path in NOTEBOOKS}


def solution_of(path: Path) -> Path:
    """Return notebooks/solutions/NN_solutions.ipynb for notebooks/NN_name.ipynb."""
    return path.parent / "solutions" / f"{path.name[:2]}_solutions.ipynb"


def test_the_glossary_is_in_order():
    assert glossary_problems((FOLDER / "GLOSSARY.md").read_text(encoding="utf-8")) == []


# ---------------------------------------------------------------- the rules are enforced


def good_notebook() -> nbformat.NotebookNode:
    """Return the smallest notebook that follows every rule."""
    new = nbformat.v4
    result = {"text/plain": "3/4 of 1.0 / 2", "image/png": "/9j/a/b/c"}
    page = '<p>at https://doi.org/10.1/x</p> <img src="data:image/png;base64,/a/b">'
    outputs = [
        new.new_output("execute_result", result),
        new.new_output("display_data", {"text/html": page}),
    ]
    title = "# A title\nof [one](https://doi.org/10.1/x) paper and/or `pruncam/cams`"
    values = "profile: str = 'quick'  # which\nseeds: list[int] | None = [\n    1,\n]  # how many"
    return new.new_notebook(
        cells=[
            new.new_markdown_cell(title + OPENING),
            new.new_markdown_cell("## Run it"),
            new.new_code_cell(values, metadata={"tags": ["parameters"]}),
            new.new_markdown_cell("Look."),
            new.new_markdown_cell(FOLDED_CHECK),
            number_check(),
            new.new_markdown_cell(BOX),
            box(),
            new.new_markdown_cell("## The result"),
            new.new_markdown_cell(LAST),
            new.new_code_cell("mean = [x / 2 for x in range(3)]"),
            new.new_code_cell(
                "1",
                metadata={"tags": ["nbval-check-output"]},
                execution_count=4,
                outputs=outputs,
            ),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "x"}},
    )


OPENING = """

**Goals.** After this notebook you can

- read;
- compare;
- doubt.

**Before you start.** Read it.

**Time.** Twenty minutes.
"""
FOLDED_CHECK = """<details><summary><b>Self-check.</b> Why?</summary>

Because.

</details>"""
BOX = "## Open the box: a mean\n\n$$m = \\frac{x}{2}$$"
LAST = """## Try it yourself

1. **Look** (easy). Look at it.
2. **Change** (medium). Change it.
3. **Think** (open). Why?

Next: another notebook."""


def number_check() -> nbformat.NotebookNode:
    """Return a cell that waits for the reader's own number."""
    outputs = [nbformat.v4.new_output("stream", name="stdout", text="no answer yet\n")]
    text = (
        "my_answer = None  # your number\nprint('no answer yet' if my_answer is None else 'right')"
    )
    return nbformat.v4.new_code_cell(text, execution_count=1, outputs=outputs)


def box() -> nbformat.NotebookNode:
    """Return a cell that computes something and compares it with the package."""
    text = "equal to the package to 1e-6: True\n"
    outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)]
    return nbformat.v4.new_code_cell(
        "m = x / 2\nprint('equal to the package to 1e-6:', m == package)",
        metadata={"tags": ["nbval-check-output"]},
        execution_count=2,
        outputs=outputs,
    )


def source(text: str, cell: int = -2) -> Callable:
    return lambda notebook: notebook.cells[cell].update(source=text)


def replaced(old: str, new: str, cell: int) -> Callable:
    def replace(notebook: nbformat.NotebookNode) -> None:
        assert old in notebook.cells[cell].source
        source(notebook.cells[cell].source.replace(old, new), cell)(notebook)

    return replace


def output(*arguments, **keywords) -> Callable:
    new_output = nbformat.v4.new_output(*arguments, **keywords)
    return lambda notebook: notebook.cells[-1].outputs.append(new_output)


def tag(name: str, cell: int = -2) -> Callable:
    return lambda notebook: notebook.cells[cell].metadata.setdefault("tags", []).append(name)


BROKEN = {
    "cells tagged parameters, not one": tag("parameters"),
    "0 cells tagged parameters": lambda notebook: notebook.cells[2].metadata.clear(),
    "parameter without a type": source("profile = 'quick'  # which", 2),
    "parameter that is not a literal": source("folder: str = 'a' + profile  # which", 2),
    "parameter without a comment": source("profile: str = 'quick'", 2),
    "never ran": lambda notebook: notebook.cells[-1].update(execution_count=None),
    "shows nothing": lambda notebook: notebook.cells[-1].update(outputs=[]),
    "unknown tags ['NBVAL_CHECK_OUTPUT']": tag("NBVAL_CHECK_OUTPUT"),
    "unknown tags ['nbval-check-outputs']": tag("nbval-check-outputs"),
    "tagged as raising": tag("raises-exception"),
    "ends with a semicolon": source("plot();  # quiet"),
    "ended in an error": output("error", ename="ValueError", evalue="", traceback=[]),
    "wrote to stderr": output("stream", name="stderr", text="a warning"),
    "shows an absolute path: /home/me/x.csv": output(
        "stream", name="stdout", text="in /home/me/x.csv"
    ),
    "shows an absolute path: /srv/data/": output(
        "display_data", {"text/html": "<td>/srv/data/</td>"}
    ),
    "has an absolute path: /mnt/sets": source("open('/mnt/sets')"),
    "has an absolute path: C:\\U": source("open(r'C:\\Users')"),
    "kernel other than python3": lambda notebook: notebook.metadata.kernelspec.update(name="torch"),
    "defines a function": source("def f():\n    pass"),
    "defines a class": source("class A:\n    pass"),
    "assigns a lambda": source("f = lambda x: x"),
    "has a loop": source("for rate in (0.1, 0.2):\n    prune(rate)"),
    "loop: it belongs": source("while True:\n    pass"),
    "not plain Python": source("%matplotlib inline"),
    "has 11 cells": lambda notebook: notebook.cells.pop(3),
    "has 46 cells": lambda notebook: notebook.cells.__setitem__(
        slice(3, 3), copy.deepcopy(notebook.cells[3:4] * 34)
    ),
    "does not begin with a title": replaced("# A title", "A title", 0),
    "less than 35%": lambda notebook: notebook.cells.extend([nbformat.v4.new_code_cell("1")] * 9),
    "carries papermill's metadata": lambda notebook: notebook.cells[0].metadata.update(
        papermill={"duration": 1}
    ),
    "does not open with 3 goals": replaced("- doubt.\n", "", 0),
    "does not open with what to know": replaced("**Before you start.** Read it.\n\n", "", 0),
    "does not open with the minutes": replaced("Twenty minutes", "Not long", 0),
    "no self-check with its answer folded": replaced("<details>", "", 4),
    "one that would not fold": replaced("</summary>\n\n", "</summary>\n", 4),
    "no self-check of the reader's own number": source("print('no answer yet')", 5),
    "exercises that are not graded": replaced("(medium)", "(hard)", 9),
    "exercises that are not graded from easy": replaced("**Look** (easy)", "**Think** (open)", 9),
    "does not end with what comes next": replaced("Next: another notebook.", "The end.", 9),
    'no section "## Open the box': replaced("## Open the box: a mean", "## A mean", 6),
    "no equation in Open the box: a mean": replaced("$$", "", 6),
    "0 checked cells in Open the box": lambda notebook: notebook.cells[7].metadata.clear(),
    "2 checked cells in Open the box": lambda notebook: notebook.cells.insert(7, box()),
    "more than 20 lines in Open the box": source("m = 1\n" * 20 + "m", 7),
    "does not equal the package in Open": lambda notebook: (
        notebook.cells[7].outputs[0].update(text="equal to the package to 1e-6: False\n")
    ),
}


def test_the_good_notebook_has_no_problem():
    assert problems(good_notebook()) == []


@pytest.mark.parametrize("problem", BROKEN)
def test_each_broken_rule_is_caught(problem):
    notebook = good_notebook()
    BROKEN[problem](notebook)
    (found_problem,) = problems(notebook)
    assert problem in found_problem


def test_a_notebook_without_a_box_must_compare_something_too():
    notebook = good_notebook()
    for cell in (notebook.cells[7], notebook.cells[-1]):
        cell.metadata.clear()
    missing = "has no cell tagged nbval-check-output: nothing would be compared"
    assert problems(notebook, opened=False) == [missing]


def test_a_number_that_was_answered_is_not_committed():
    notebook = good_notebook()
    notebook.cells[5].outputs[0].update(text="right\n")
    assert problems(notebook) == ["has no self-check of the reader's own number"]


def test_a_notebook_that_is_too_large_is_caught():
    assert problems(good_notebook(), 4 * 2**20) == ["is larger than 4 MiB"]


def good_solution() -> nbformat.NotebookNode:
    """Return the smallest worked solution that follows every rule."""
    new = nbformat.v4
    quotes = "## Exercise 1\n\n> Look at it,\n> well.\n\nSo:", "## Exercise 2\n\n> Why?"
    cells = [new.new_markdown_cell(text) for text in ("# Solved", *quotes)]
    cells += [new.new_code_cell("1", execution_count=count) for count in (1, 2)]
    outputs = [new.new_output("execute_result", {"text/plain": "1"})]
    metadata = {"tags": ["nbval-check-output"]}
    cells.append(new.new_code_cell("1", metadata=metadata, execution_count=3, outputs=outputs))
    return new.new_notebook(
        cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "x"}}
    )


def with_exercises(text: str) -> nbformat.NotebookNode:
    """Return a notebook with exercises and another numbered list before them."""
    cell = nbformat.v4.new_markdown_cell(f"## What we learn\n\n1. It runs.\n\n{text}")
    return nbformat.v4.new_notebook(cells=[cell])


EXERCISES = "## Try it yourself\n\n1. Look at it,\n   well.\n2. Why?\n\nNext: another notebook."
BROKEN_SOLUTIONS = {
    "answers exercises [1], the notebook has [1, 2]": source("## Exercise two\n\n> Why?", 2),
    "answers exercises [1, 2, 3], the notebook has [1, 2]": source(
        "## Exercise 2\n\n> Why?\n\n## Exercise 3\n\n> No.", 2
    ),
    "does not quote exercise 1": source("## Exercise 1\n\n> Look at it.", 1),
    "was not run from top to bottom": lambda solution: solution.cells[3].update(
        execution_count=None
    ),
    "has 26 cells": lambda solution: solution.cells.extend(copy.deepcopy(solution.cells[:1] * 20)),
    "has a loop": source("for rate in (0.1, 0.2):\n    prune(rate)", 3),
}


def test_the_good_solution_has_no_problem():
    assert solution_problems(good_solution(), with_exercises(EXERCISES)) == []


@pytest.mark.parametrize("problem", BROKEN_SOLUTIONS)
def test_each_broken_rule_of_solutions_is_caught(problem):
    solution = good_solution()
    BROKEN_SOLUTIONS[problem](solution)
    (found_problem,) = solution_problems(solution, with_exercises(EXERCISES))
    assert problem in found_problem


@pytest.mark.parametrize(
    "text, problem",
    [
        ("No terms.", "has no term"),
        ("**CAM** is\n\n**CAM** is", "explains CAM twice"),
        ("**mask** is **a** thing\n\n**CAM** is", "has mask before CAM"),
    ],
)
def test_a_disordered_glossary_is_caught(text, problem):
    assert glossary_problems(text) == [problem]
    assert glossary_problems("**CAM** is\n\n**mask** is **a** thing") == []
