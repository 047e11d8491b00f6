"""Copy the docstrings of the built module into the stub of tasklets._core: make stubs.

Type checkers and editors read docstrings from the stub only. Private names and special
methods get none; an overloaded function gets one, at its first signature.
"""

import ast
import inspect
import sys
from pathlib import Path

# Classes that belong to the standard library if it has them.
STANDARD = {"ShutDown"}

STUB = Path(__file__).parent.parent / "tasklets" / "_core.pyi"


def documented(nodes, owner, prefix=""):
    """Yield (name, node, docstring or None) for each definition in a stub.

    nodes: the statements of the stub or of one of its classes; owner: the module or
    the class itself.
    """
    seen = set()
    for node in nodes:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        found = inspect.getattr_static(owner, node.name, None)
        private = node.name.startswith("_") or node.name in STANDARD
        omitted = private or found is None or node.name in seen
        doc = None if omitted else found.__doc__
        seen.add(node.name)
        name = prefix + node.name
        yield name, node, doc and inspect.cleandoc(doc)
        if isinstance(node, ast.ClassDef) and not private:
            yield from documented(node.body, found, f"{name}.")


def with_docstrings(text, owner):
    """Return the text of a stub with docstrings."""
    lines = text.splitlines(keepends=True)
    # From the last to the first, so that the places of earlier nodes stay valid.
    nodes = list(documented(ast.parse(text).body, owner))
    for _, node, doc in sorted(nodes, key=place, reverse=True):
        first, *rest = node.body
        if ast.get_docstring(node) is None and not doc:
            continue
        indent = " " * (node.col_offset + 4)
        row = first.lineno - 1
        head = "".join(lines[:row]) + lines[row][: first.col_offset]
        tail = "".join(lines[first.end_lineno :])
        if not isinstance(first, ast.Expr):  # the first of a class's members
            start = min([first.lineno, *(d.lineno for d in decorators(first))]) - 1
            head, tail = "".join(lines[:start]), "".join(lines[start:])
        elif not doc and not rest:
            tail = f"{indent}...\n{tail}"
        quoted = f'{indent}"""{escaped(doc, indent)}"""\n' if doc else ""
        lines = f"{head.rstrip()}\n{quoted}{tail}".splitlines(keepends=True)
    return "".join(lines)


def place(found):
    """Return the place of a node's docstring, to sort by."""
    first = found[1].body[0]
    return first.lineno, first.col_offset


def decorators(node):
    """Return the decorators of a statement."""
    return getattr(node, "decorator_list", [])


def escaped(doc, indent):
    """Return a docstring's text as it is written between the quotes."""
    doc = doc.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    text = "\n".join(f"{indent}{line}".rstrip() for line in doc.splitlines()).strip()
    return f"{text}\n{indent}" if "\n" in text or text.endswith('"') else text


def main():
    """Rewrite the stub; with --strip, leave the docstrings out."""
    sys.path.insert(0, str(STUB.parent.parent))
    from tasklets import _core

    owner = object() if "--strip" in sys.argv else _core
    STUB.write_text(with_docstrings(STUB.read_text(), owner))


if __name__ == "__main__":
    main()
