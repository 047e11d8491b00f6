"""The code blocks of the documentation."""

from children import ROOT

DOCS = ROOT / "docs"


def fences(page):
    """Yield the line number, the mark and the lines of each block of a page."""
    start = None
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if not line.startswith("```"):
            continue
        if start is None:
            start, mark = number, line[3:]
        else:
            yield start, mark, page.read_text().splitlines()[start : number - 1]
            start = None
