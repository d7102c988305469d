"""The parameters of a notebook: what its parameters cell declares, and checks of given values."""

import ast
from collections.abc import Mapping
from typing import Any

# papermill would turn values of other types into strings.
_PLAIN_TYPES = {"str", "int", "float", "bool", "list", "dict", "None"}
_KNOWN_TYPES = _PLAIN_TYPES | {"tuple"}
_CONVERTIBLE = {"int": {"int", "float"}, "list": {"list", "tuple"}}

TypeNames = set[str] | None  # None: the types cannot be determined


def declared_parameters(notebook: Any) -> dict[str, TypeNames]:
    """Return the names in the cell tagged `parameters`, each with the names of its types.

    The cell is read with `ast`: papermill's own inspection misses `x: str | None = None`, and any
    line whose comment contains a "=". Raises ValueError if the cell is not plain Python.
    """
    source = "\n".join(cell.source for cell in notebook.cells if _is_parameters_cell(cell))
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        raise ValueError(f"the parameters cell is not plain Python: {error}") from None
    declared: dict[str, TypeNames] = {}
    for statement in statements:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            declared[statement.target.id] = _annotated_types(statement.annotation)
        elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            declared[statement.targets[0].id] = _type_of_default(statement.value)
    return declared


def check_parameters(
    notebook_name: str, declared: Mapping[str, TypeNames], parameters: Mapping[str, Any]
) -> None:
    """Raise ValueError if a parameter is not declared or its value has another type."""
    for name, value in parameters.items():
        if name not in declared:
            known = ", ".join(declared) or "none"
            raise ValueError(
                f"{notebook_name} has no parameter {name!r}: known parameters are {known}"
            )
        value_type = "None" if value is None else type(value).__name__
        if not _is_accepted(value_type, declared[name]):
            expected = " or ".join(sorted(declared[name] or _PLAIN_TYPES))
            raise ValueError(
                f"{notebook_name}: parameter {name!r} must be {expected}, "
                f"got {value!r} ({value_type})"
            )


def _is_parameters_cell(cell: Any) -> bool:
    return cell.cell_type == "code" and "parameters" in cell.metadata.get("tags", [])


def _annotated_types(annotation: ast.expr) -> TypeNames:
    """Return the type names of an annotation: `list[int] | None` gives {"list", "None"}."""
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        left = _annotated_types(annotation.left)
        right = _annotated_types(annotation.right)
        return left | right if left and right else None
    if isinstance(annotation, ast.Subscript):
        return _annotated_types(annotation.value)
    name = ast.unparse(annotation)
    return {name} if name in _KNOWN_TYPES else None


def _type_of_default(value: ast.expr) -> TypeNames:
    """Return the type name of a literal default; a default of None does not determine it."""
    try:
        default = ast.literal_eval(value)
    except ValueError:
        return None
    return None if default is None else {type(default).__name__}


def _is_accepted(value_type: str, types: TypeNames) -> bool:
    if value_type not in _PLAIN_TYPES:
        return False
    accepted = _CONVERTIBLE.get(value_type, {value_type})
    return types is None or bool(accepted & types)
