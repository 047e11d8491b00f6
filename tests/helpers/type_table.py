"""The rows of csrc/object/types.def."""

import re
from dataclasses import dataclass

from layers import CSRC

ROW = re.compile(r"^TL_(COUNT|TYPE|SUBTYPE)\((.*)\)", re.M)


@dataclass
class Type:
    """A type of the extension."""

    noun: str  # tl_<noun>_spec, <noun>_type
    name: str  # in tasklets._core
    kind: str | None  # its name in live_counts(); None: not counted
    step: str  # tl_<step>_ready()
    remedy: str | None  # None: can be pickled


def rows():
    """Return the names of the kinds that are counted, and the types."""
    text = (CSRC / "object" / "types.def").read_text()
    words = dict(re.findall(r'^#define (\w+) "(.*)"$', text, re.M))
    kinds, types = {"NONE": None}, {}
    for macro, arguments in ROW.findall(text):
        first, second, *others = re.split(r", (?=\w+$|\"|\w+,)", arguments)
        if macro == "COUNT":
            kinds[first] = second.strip('"')
        elif macro == "TYPE":
            kind, step, remedy = others
            text = words.get(remedy, remedy.strip('"'))
            remedy = None if remedy == "NULL" else text
            types[first] = Type(first, second.strip('"'), kinds[kind], step, remedy)
        else:
            base, step = types[others[0]], others[1]
            types[first] = Type(first, second.strip('"'), base.kind, step, base.remedy)
    return list(kinds.values())[1:], list(types.values())


def declarations():
    """Return what python/types.h declares with the help of the table."""
    return "".join(
        f"extern PyType_Spec tl_{row.noun}_spec;\n"
        f"int tl_{row.step}_ready(PyTypeObject *type);\n"
        for row in rows()[1]
    )
