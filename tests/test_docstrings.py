"""Docstrings: a summary of one line, then Args and Raises where callers need them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("metalearn", "experiments", "benchmarks")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
NAMES = [str(path.relative_to(ROOT)) for path in FILES]
MANY = 4  # parameters of a function whose Args are explained
Function = ast.FunctionDef | ast.AsyncFunctionDef


def summaries(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Name and summary of everything that has a docstring, inner functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | Function):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "name", "module"), text.split("\n\n")[0]


def public_functions(node: ast.AST, around: str = "") -> Iterator[tuple[Function, str]]:
    """Public functions and methods, each with its docstring.

    To that of `__init__`, which a caller knows by the name of its class, the class's is added.
    """
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function) and not child.name.startswith("_"):
            yield child, ast.get_docstring(child) or ""
        elif isinstance(child, Function) and child.name == "__init__":
            yield child, f"{around}\n{ast.get_docstring(child) or ''}"
        elif isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
            yield from public_functions(child, ast.get_docstring(child) or "")


def parameters(function: Function) -> int:
    """How many a caller may give."""
    given = function.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    return sum(each.arg not in ("self", "cls") for each in named)


def raises_user_error(node: ast.AST) -> bool:
    """Whether a function itself raises it, and not one inside it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Raise) and child.exc is not None:
            if ast.unparse(child.exc).startswith("UserError"):
                return True
        if not isinstance(child, ast.ClassDef | Function) and raises_user_error(child):
            return True
    return False


def faults(source: str) -> list[str]:
    """What the docstrings of a module lack."""
    tree = ast.parse(source)
    found = [f"{name}: summary of several lines" for name, text in summaries(tree) if "\n" in text]
    for function, text in public_functions(tree):
        if not text.strip() and function.name != "__init__":
            found.append(f"{function.name}: no docstring")
        explained = "Args:" in text or (function.name == "__init__" and "Attributes:" in text)
        if parameters(function) >= MANY and not explained:
            found.append(f"{function.name}: no Args")
        if raises_user_error(function) and "Raises:" not in text:
            found.append(f"{function.name}: no Raises")
    return found


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_docstrings_have_one_line_summaries_args_and_raises(path: Path) -> None:
    assert faults(path.read_text()) == []


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ('"""One line\nand another.\n\nMore.\n"""', "module: summary of several lines"),
        ('def f(a):\n    """Two\n    lines."""', "f: summary of several lines"),
        ("def f(a):\n    pass", "f: no docstring"),
        ('def f(a, b, c, *, d):\n    """Four."""', "f: no Args"),
        ('class A:\n    """A."""\n    def f(self, a, b, c, d):\n        """Four."""', "f: no Args"),
        (
            'class A:\n    """A."""\n    def __init__(self, a, b, c, d):\n        pass',
            "__init__: no Args",
        ),
        ('def f(a):\n    """One."""\n    if a:\n        raise UserError("a")', "f: no Raises"),
    ],
)
def test_missing_parts_of_docstrings_are_found(source: str, fault: str) -> None:
    assert faults(source) == [fault]


@pytest.mark.parametrize(
    "source",
    [
        "def _f(a, b, c, d):\n    raise UserError",
        'def f(a):\n    """One."""\n    def g():\n        raise UserError("a")',
        'class A:\n    """A.\n\n    Attributes:\n      a, b, c, d: each.\n    """\n'
        "    def __init__(self, a, b, c, d):\n        pass",
    ],
)
def test_private_and_inner_functions_need_no_sections(source: str) -> None:
    assert faults(source) == []
