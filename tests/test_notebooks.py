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
CELLS = range(12, 26)
SOLUTION_CELLS = range(6, 26)
MARKDOWN = 0.35
MEGABYTES = 4
# From the root of a disk, at the start of a word; base64 images are removed before.
ABSOLUTE = re.compile(r"(?:^|[\s\"'`(=\[,>])(/(?:[\w.+-]+/)+[\w.+-]*|[A-Za-z]:\\\w|file://)")
EMBEDDED = re.compile(r"data:[\w/+.-]+;base64,[\w/+=]+")
REFUSED = {
    ast.FunctionDef: "defines a function: it belongs in the package",
    ast.AsyncFunctionDef: "defines a function: it belongs in the package",
    ast.ClassDef: "defines a class: it belongs in the package",
    ast.For: "has a loop: it belongs in the package",
    ast.AsyncFor: "has a loop: it belongs in the package",
    ast.While: "has a loop: it belongs in the package",
}


# ---------------------------------------------------------------- the rules


def problems(notebook: dict, size: int = 0) -> list[str]:
    """Return all problems of a notebook."""
    return [*shape(notebook, size, CELLS), *parameters(notebook), *contents(notebook)]


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
    assert problems(nbformat.read(path, 4), path.stat().st_size) == []


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
    cells = [new.new_markdown_cell(title)]
    cells += [new.new_markdown_cell(f"## Result {number}") for number in range(5)]
    cells += [new.new_code_cell(f"mean = [x / 2 for x in range({number})]") for number in range(4)]
    values = "profile: str = 'quick'  # which\nseeds: list[int] | None = [\n    1,\n]  # how many"
    cells.insert(2, new.new_code_cell(values, metadata={"tags": ["parameters"]}))
    metadata = {"tags": ["nbval-check-output"]}
    stable = new.new_code_cell("1", metadata=metadata, execution_count=4, outputs=outputs)
    return new.new_notebook(
        cells=[*cells, stable], metadata={"kernelspec": {"name": "python3", "display_name": "x"}}
    )


def source(text: str, cell: int = -2) -> Callable:
    return lambda notebook: notebook.cells[cell].update(source=text)


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
    "no cell tagged nbval-check-output": lambda notebook: notebook.cells[-1].metadata.clear(),
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
    "has 26 cells": lambda notebook: notebook.cells.extend(copy.deepcopy(notebook.cells[1:2] * 14)),
    "does not begin with a title": source("no title", 0),
    "less than 35%": lambda notebook: notebook.cells.extend([nbformat.v4.new_code_cell("1")] * 6),
    "carries papermill's metadata": lambda notebook: notebook.cells[0].metadata.update(
        papermill={"duration": 1}
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
