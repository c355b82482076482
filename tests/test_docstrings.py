"""What docstrings say of attributes is about attributes that are there, and in the core none is left out."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "src" / "wxmiddleware"
CORE = ("_engine", "_rules")


@cache
def classes() -> dict[str, list[tuple[Path, ast.ClassDef]]]:
    """All classes of the package by name."""
    found: dict[str, list[tuple[Path, ast.ClassDef]]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append((path, node))
    return found


def section(node: ast.ClassDef, *titles: str) -> set[str]:
    """The names that stand in sections of a class's docstring."""
    text = ast.get_docstring(node) or ""
    blocks = [re.search(rf"^{title}:\n((?:    .*\n?|\n)*)", text, re.MULTILINE) for title in titles]
    lines = [line for block in blocks if block is not None for line in block[1].splitlines()]
    heads = [re.match(r"    ([\w, ]+): ", f"{line} ") for line in lines]
    return {name.strip() for head in heads if head is not None for name in head[1].split(",")}


def own(node: ast.ClassDef) -> Iterator[str]:
    """The attributes that a class makes: fields, slots, properties, and what its methods set."""
    for one in ast.walk(node):
        match one:
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                yield name
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                yield name
            case ast.FunctionDef(name=name):
                yield name


def attributes(node: ast.ClassDef) -> set[str]:
    """The attributes of a class and of those of this package that it is made of."""
    names = [name.split(".")[-1] for name in map(ast.unparse, node.bases)]
    bases = [base for name in names for _, base in classes().get(name, ())]
    return set(own(node)).union(*map(attributes, bases))


def test_attributes_are_there() -> None:
    """An attribute that a class's docstring names is one of the class's."""
    wrong = [
        f"{path.relative_to(PACKAGE)}: {name}.{attribute}"
        for name, each in classes().items()
        for path, node in each
        for attribute in section(node, "Attributes") - attributes(node)
    ]

    assert [] == sorted(wrong)


def test_attributes_are_explained() -> None:
    """A class of the core that explains its attributes or arguments explains each public attribute."""
    silent = [
        f"{path.relative_to(PACKAGE)}: {name}.{attribute}"
        for name, each in classes().items()
        for path, node in each
        if path.relative_to(PACKAGE).parts[0] in CORE and section(node, "Attributes")
        for attribute in sorted(fields(node) - section(node, "Attributes", "Args"))
    ]

    assert [] == silent


def fields(node: ast.ClassDef) -> set[str]:
    """The public attributes of a class that hold something: its dataclass's fields, or what its ``__init__`` sets."""
    direct = {one.target.id for one in node.body if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)}
    made = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
    held = {
        one.attr
        for function in made
        for one in ast.walk(function)
        if isinstance(one, ast.Attribute) and isinstance(one.ctx, ast.Store) and ast.unparse(one.value) == "self"
    }
    return {name for name in direct | held if not name.startswith("_")}
