"""Comments, docstrings, messages and pages use none of the banned phrases.

Each phrase stands for a habit that makes a sentence hard to read: it hides who acts, or
uses a home-made word where the field has a term. The hint says what to write instead.
"""

import bisect
import io
import re
import token
import tokenize
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]

# Files and folders that are checked.
DONE = [
    "docs",
    "examples",
    "benchmarks",
    "tools",
    ".ci",
    ".github",
    ".pre-commit-config.yaml",
    ".clang-format",
    ".editorconfig",
    ".gitattributes",
    ".gitignore",
    "CHANGELOG.md",
    "CODE_OF_CONDUCT.md",
    "CONTRIBUTING.md",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "pyproject.toml",
    "setup.cfg",
    "setup.py",
    "csrc",
    "stackless-stubs",
    "stacklesslib_compat",
    "tasklets",
    "tests",
]

ACTOR = "name the waiter, owner, caller, receiver, sender, worker or thread"
COUNT = "say what the number limits: 'maximum number of ...'"
VERB = "use the verb: cancel, close, call, set"
MUST = "write 'must' or 'will'"
TERM = "use the field's term"


class Phrase(NamedTuple):
    """A banned phrase: a regex of lower-case words, its hint and a sample."""

    regex: str
    hint: str
    sample: str


# A blank stands for any white space. A regex begins and ends at the edge of a word.
PHRASES = [
    Phrase(r"so often", COUNT, "So often it looks again."),
    Phrase(r"so many", COUNT, "So many are kept."),
    Phrase(r"so long(?! as)", "give the duration: 'how long ...'", "So long it waits."),
    Phrase(r"have it", VERB, "Have it not run."),
    Phrase(r"have them", VERB, "Have them closed."),
    Phrase(r"have what", VERB, "Have what is due run."),
    Phrase(r"let go off?", "write 'release' or 'drop'", "Let go of the lock."),
    Phrase(r"one that", ACTOR, "The one that waits."),
    Phrase(r"one who", ACTOR, "One who waits."),
    Phrase(r"somebody", ACTOR, "Somebody listens."),
    Phrase(r"those (?:who|that)", ACTOR, "Those who wait, those that run."),
    Phrase(r"who waits", ACTOR, "Who waits is told."),
    Phrase(r"whoever", ACTOR, "Whoever comes first."),
    Phrase(r"the calling one", ACTOR, "Release it for the calling one."),
    Phrase(r"of others", "say whose", "Code of others may run."),
    Phrase(
        r"other code may run", "write 'may run Python code'", "Other code may run here."
    ),
    Phrase(r"runs no code", "write 'does not call into Python'", "It runs no code."),
    Phrase(r"nobody is to", "state the property positively", "Nobody is to be told."),
    Phrase(r"(?:is|are) to be", MUST, "It is to be freed."),
    Phrase(r"in any case", "write 'unconditionally'", "Acquire it in any case."),
    Phrase(r"for ever", "write 'forever'", "It waits for ever."),
    Phrase(r"likewise", "write 'also', or repeat the rule", "Likewise for sends."),
    Phrase(r"as a rule", "write 'normally'", "As a rule it is free."),
    Phrase(r"in force", "write 'active'", "The limit in force."),
    Phrase(r"in vain", "write 'without success'", "It looked in vain."),
    Phrase(r"lapsed", "write 'timed out'", "The wait has lapsed."),
    Phrase(r"reckon(?:s|ed|ing)?", "write 'recompute'", "Reckon the deadline."),
    Phrase(r"meanwhile", "say during what", "Meanwhile others run."),
    Phrase(
        r"threads of ours", "write 'internal threads'", "Threads of ours are skipped."
    ),
    Phrase(r"one of ours", "name the object", "If it is one of ours."),
    Phrase(r"nudg(?:e|es|ed|ing)", f"{TERM}: deferred wake-up", "Nudge the thread."),
    Phrase(r"nap(?:s|ped|ping)?", f"{TERM}: sleep", "A nap without the GIL."),
    Phrase(r"raid(?:s|ed|ing)?", f"{TERM}: preemption", "Account of the raids."),
    Phrase(r"favoured", f"{TERM}: last urgent holder", "The favoured thread."),
    Phrase(r"doz(?:e|es|ed|ing)", f"{TERM}: timed park", "Doze for a while."),
    Phrase(r"bur(?:y|ies|ied)", f"{TERM}: destroy", "Bury the scheduler."),
    Phrase(r"patient", f"{TERM}: no deadlock check", "A patient wait."),
    Phrase(r"impatient", f"{TERM}: urgent", "An impatient waiter."),
    Phrase(r"hopes", f"{TERM}: may be completed from outside", "It hopes for a send."),
    Phrase(r"insists", "say what it ignores", "A wait that insists."),
    Phrase(r"lookouts?", f"{TERM}: monitor", "The lookout sleeps."),
    Phrase(r"a bit of", "write 'a little', or name the bit", "A bit of work."),
    Phrase(r"at last", "write 'finally'", "At last it runs."),
]

# Between two words in source text: white space, marks of comments and of strings.
GAP = r"(?:\\n|[^\w.,;:]|[bfru]+(?=[\"']))+"
IN_SOURCE = [re.compile(each.regex.replace(" ", GAP)) for each in PHRASES]
IN_PROSE = [
    re.compile(rf"(?<!\w){each.regex}(?!\w)".replace(" ", r"\s+")) for each in PHRASES
]
CODE_SPAN = re.compile(r"``.+?``|`[^`\n]+`")


class Text:
    """Prose of a file in one string, and the line of each of its characters."""

    def __init__(self):
        self.parts, self.starts, self.lines, self.length = [], [], [], 0

    def add(self, line, text, gap=" "):
        """Append text that is on a line; gap goes between it and the text before."""
        for number, part in enumerate(text.split("\n")):
            part = f"{' ' if number else gap}{part.strip() if number else part}"
            self.starts.append(self.length)
            self.lines.append(line + number)
            self.parts.append(part)
            self.length += len(part)

    def findings(self):
        """Yield the line, the words and the hint of each banned phrase."""
        text = "".join(self.parts)
        # Spans of code keep their length, so that offsets stay what they are.
        text = CODE_SPAN.sub(lambda span: "\0" * len(span[0]), text)
        text = text.lower()
        for phrase, regex in zip(PHRASES, IN_PROSE, strict=True):
            for found in regex.finditer(text):
                at = bisect.bisect(self.starts, found.start()) - 1
                yield self.lines[at], " ".join(found[0].split()), phrase.hint


C_PIECE = re.compile(
    r"""(?P<line>//[^\n]*)|(?P<block>/\*.*?\*/)"""
    r"""|"(?P<string>(?:\\.|[^"\\\n])*)"|'(?:\\.|[^'\\\n])*'""",
    re.S,
)
C_ESCAPE = re.compile(r"\\(.)", re.S)


def c_prose(source):
    """Return the comments and string literals of C source; adjacent ones are one."""
    prose, ends = Text(), [found.end() for found in re.finditer("\n", source)]
    end, kind = 0, None
    for found in C_PIECE.finditer(source):
        line = bisect.bisect(ends, found.start()) + 1
        between, end = source[end : found.start()], found.end()
        joined = found.lastgroup == kind and not between.strip()
        kind = found.lastgroup
        if kind == "string":
            text = C_ESCAPE.sub(lambda m: " " if m[1] == "n" else m[1], found[kind])
            prose.add(line, text, "" if joined else " \0 ")
        elif kind is not None:
            text = re.sub(r"^[ \t]*[/*]+[ \t]*|[ \t]*\*/$", "", found[0], flags=re.M)
            prose.add(line, text, " " if joined else " \0 ")
    return prose


STRING = re.compile(
    r"""^[a-z]*("{3}|'{3}|"|')(.*)\1$""", re.IGNORECASE | re.S
)  # a whole literal
F_STRING_MIDDLE = getattr(token, "FSTRING_MIDDLE", None)
F_STRING_EDGES = {
    getattr(token, name)
    for name in ("FSTRING_START", "FSTRING_END")
    if hasattr(token, name)
}
SILENT = {token.NEWLINE, token.NL, token.INDENT, token.DEDENT} | F_STRING_EDGES


def python_prose(source, first_line=1):
    """Return the comments and string literals of Python; adjacent ones are one."""
    prose, kind = Text(), None
    for each in tokenize.generate_tokens(io.StringIO(source).readline):
        line = each.start[0] + first_line - 1
        if each.type == token.COMMENT:
            text = each.string.lstrip("# ")
            prose.add(line, text, " " if kind == token.COMMENT else " \0 ")
            kind = each.type
        elif each.type in (token.STRING, F_STRING_MIDDLE):
            found = STRING.match(each.string) if each.type == token.STRING else None
            text = (found[2] if found else each.string).replace("\\n", " ")
            prose.add(line, text, "" if kind == token.STRING else " \0 ")
            kind = token.STRING
        elif each.type not in SILENT:
            kind = None
    return prose


def markdown_prose(source):
    """Return the text of a page, and what is prose in its blocks of Python."""
    prose, block, mark = Text(), [], None
    for number, line in enumerate(source.split("\n"), 1):
        if not line.startswith("```"):
            if mark is None:
                prose.add(number, line, " " if line.strip() else " \0 ")
            else:
                block.append(line)
        elif mark is None:
            block, mark = [], line[3:]
        else:
            if mark == "python":
                inside = python_prose("\n".join(block), number - len(block))
                prose.add(0, "", " \0 ")
                for at, part in zip(inside.lines, inside.parts, strict=True):
                    prose.add(at, part, "")
            mark = None
    return prose


def hash_prose(source):
    """Return the comments of a file in which a hash begins one: Makefile, shell."""
    prose, last = Text(), 0
    for number, line in enumerate(source.split("\n"), 1):
        if found := re.search(r"(?:^|\s)#+(?![!{])\s*(.*)", line):
            prose.add(number, found[1], " " if last == number - 1 else " \0 ")
            last = number
    return prose


READERS = {
    ".c": c_prose,
    ".h": c_prose,
    ".def": c_prose,
    ".py": python_prose,
    ".pyi": python_prose,
    ".md": markdown_prose,
    "": hash_prose,
    ".toml": hash_prose,
    ".cfg": hash_prose,
    ".txt": hash_prose,
    ".yml": hash_prose,
    ".yaml": hash_prose,
    ".supp": hash_prose,
}


def findings(name, source):
    """Return (line, words, hint) of each banned phrase in a file, by its name."""
    # Nearly every file has none, which this finds out without parsing.
    text = source.lower()
    if not any(regex.search(text) for regex in IN_SOURCE):
        return []
    return sorted(READERS[Path(name).suffix](source).findings())


def files():
    """Yield the files that are checked."""
    for name in DONE:
        path = ROOT / name
        paths = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (
            each
            for each in paths
            if each.suffix in READERS and each.is_file() and "build" not in each.parts
        )


def test_there_are_files_to_check():
    assert all((ROOT / name).exists() for name in DONE)
    assert len(list(files())) > 20


def test_no_file_has_a_banned_phrase():
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: '{words}': {hint}"
        for path in files()
        if path != Path(__file__)  # has the list
        for line, words, hint in findings(path.name, path.read_text())
    ]
    assert not wrong, "\n" + "\n".join(wrong)


# How a sentence is written in each kind of file. It is on line 2.
FORMS = {
    "a.c": ["int i;\n// {}", 'f();\ng("{}");', "int i;\n/* {} */ int j;"],
    "a.h": ['char *s =\n"{}";'],
    "a.py": ["i = 1\n# {}", '"""Title.\n{}\n"""', "i = 1\nraise ValueError('{}')"],
    "a.pyi": ["i = 1\nj = f'{}'"],
    "a.md": ["# Title\n{}", "| a |\n| {} |", "```python\n# {}\n```"],
    "Makefile": ["all:\n\ttrue # {}"],
}
# The same with a break in the sentence, after which it goes on on line 3.
BROKEN_FORMS = {
    "a.c": [
        "int i;\n// {}\n// {}",
        'f();\ng("{} "\n  "{}");',
        'f();\ng("{}\\n"\n  "{}");',
        "int i;\n/* {}\n * {} */",
    ],
    "a.py": [
        "i = 1\n# {}\n# {}",
        '"""Title.\n{}\n{}\n"""',
        "raise ValueError(\n    '{} '\n    f'{}')",
        "raise ValueError(\n    f'{} '\n    f'{}')",
    ],
    "a.md": ["# Title\n{}\n{}", "```python\n# {}\n# {}\n```"],
    "Makefile": ["all:\n# {}\n# {}"],
}
every_phrase = pytest.mark.parametrize("phrase", PHRASES, ids=lambda each: each.sample)


def with_sentence(form, *parts):
    """Return a form with the parts of a sentence in its places."""
    return form.replace("{}", "%s") % parts


@every_phrase
def test_each_phrase_is_caught_with_its_line(phrase):
    for name, forms in FORMS.items():
        for form in forms:
            found = findings(name, with_sentence(form, phrase.sample))
            assert (2, phrase.hint) in {(line, hint) for line, _, hint in found}, form


@every_phrase
def test_each_phrase_is_caught_where_it_is_broken(phrase):
    words = IN_PROSE[PHRASES.index(phrase)].search(phrase.sample.lower())
    if " " not in words[0]:
        assert " " not in phrase.regex
        return
    at = words.start() + words[0].index(" ")
    parts = phrase.sample[:at], phrase.sample[at + 1 :]
    for name, forms in BROKEN_FORMS.items():
        for form in forms:
            found = findings(name, with_sentence(form, *parts))
            assert (2, phrase.hint) in {(line, hint) for line, _, hint in found}, form


@pytest.mark.parametrize(
    "text",
    [
        "It waits so long as the lock is held.",
        "A snapshot of the braid, and the kidnapped one thatched it.",
        "The `lapsed` hook, and ``one that`` in code.",
        "It is the last one. That matters.",
        "Foreveryone has its own.",
    ],
)
@pytest.mark.parametrize("name", FORMS)
def test_plain_english_is_left_alone(text, name):
    for form in FORMS[name]:
        assert findings(name, with_sentence(form, text)) == []


def test_code_is_no_prose():
    assert findings("a.py", "meanwhile = one_that = 1\nx = d['meanwhile_at']\n") == []
    assert findings("a.c", "int lapsed = reckon(nap);\n") == []
    assert findings("a.md", "```text\nmeanwhile\n```\n") == []
    assert findings("a.c", 'f("one", that);\n') == []
    assert findings("a.py", "f('one', 'that')\n") == []
