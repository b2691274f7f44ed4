"""The canonical text of Python code: the same code, however it is laid out, on any supported Python, is the same text.

Standard library only, so that another interpreter can run this file by itself. `ast.dump` will not do: its text of
empty lists changed in 3.13, and `repr` of a string follows the Unicode tables of the interpreter.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

_NOT_CODE = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
_BODIES = frozenset({"body", "orelse", "finalbody"})


def canonical(node: ast.AST, *, docstrings: bool = False) -> str:
    """Return the text of a node without positions, `pass`, and (unless asked for) bare strings such as docstrings.

    Annotations of variables count in class bodies only: elsewhere nothing reads them.
    """
    out: list[str] = []
    stack: list[object] = [node]  # not recursive: generated code nests deeper than Python's stack
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            out.append(item)
        elif isinstance(item, ast.AST):
            out.append(f"{type(item).__name__}(")
            stack.append(")")
            for name, value in reversed(list(_fields(item, docstrings=docstrings))):
                stack += (value, f"{name}=")
        elif isinstance(item, list):
            out.append("[")
            stack.append("]")
            stack.extend(v if isinstance(v, ast.AST) else literal(v) for v in reversed(item))
    return "".join(out)


def literal(value: object) -> str:
    """Return a constant as text, its type told apart (1, 1.0 and True differ), the same on any Python."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:#x} "  # decimal text of huge integers is refused by Python
    return ascii(value) + " "


def is_text(statement: ast.stmt) -> bool:
    """Is this a bare string: a docstring, or a comment in the form of one?"""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _fields(node: ast.AST, *, docstrings: bool) -> Iterator[tuple[str, object]]:
    if isinstance(node, ast.Constant | ast.MatchSingleton):
        yield "value", literal(node.value)
        return
    if isinstance(node, ast.ClassDef):
        yield "annotations", _annotations(node)
    for name in sorted(node._fields):
        value = getattr(node, name, None)
        if name in _NOT_CODE or (name == "annotation" and isinstance(node, ast.AnnAssign)):
            continue
        if name in _BODIES and isinstance(value, list):
            value = [s for s in value if not isinstance(s, ast.Pass) and (docstrings or not is_text(s))]
        elif name == "values" and isinstance(node, ast.JoinedStr):
            value = _merged(node.values)
        elif name == "format_spec" and isinstance(value, ast.JoinedStr) and not _merged(value.values):
            continue
        if value is not None and value != []:
            yield name, value if isinstance(value, ast.AST | list) else literal(value)


def _annotations(node: ast.ClassDef) -> list[ast.AST]:
    """Return the annotations of a class's own variables, as fields of dataclasses and models have them."""
    found: list[ast.AST] = []
    stack: list[ast.AST] = list(reversed(node.body))
    while stack:
        item = stack.pop()
        if isinstance(item, ast.AnnAssign):
            found.append(item.annotation)
        elif isinstance(item, ast.stmt) and not isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            stack.extend(reversed(list(ast.iter_child_nodes(item))))
    return found


def _merged(values: list[ast.expr]) -> list[ast.AST]:
    """Return the pieces of an f-string with neighbouring texts joined: Python 3.12 cuts them in other places."""
    merged: list[ast.AST] = []
    text = ""
    for value in values:
        if isinstance(value, ast.Constant):
            text += str(value.value)
            continue
        if text:
            merged.append(ast.Constant(text))
        text = ""
        merged.append(value)
    return [*merged, ast.Constant(text)] if text else merged
