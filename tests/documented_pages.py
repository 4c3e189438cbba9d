"""The pages of the documentation, their blocks and the commands that they show."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

from documented_code import FENCE
from source_imports import ROOT

PAGES = {
    path.relative_to(ROOT).as_posix(): path
    for path in [
        *(ROOT / name for name in ("README.md", "examples/README.md")),
        *sorted((ROOT / "docs").glob("*.md")),
    ]
}
# Commands that cannot run here, by their first word.
NOT_HERE = {
    "curl": "asks a server, and none runs here",
    "pip": "would change the environment of the tests",
    "source": "is the shell's own",
}
PROGRAMS = ("python", "make", "smooth-recs", *NOT_HERE)


class Block(NamedTuple):
    """A fenced block: `page:line`, its language and its text."""

    place: str
    language: str
    text: str


class Command(NamedTuple):
    """`page:line` of a command, and its words."""

    place: str
    words: tuple[str, ...]


def blocks(page: str) -> Iterator[Block]:
    text = PAGES[page].read_text("utf-8")
    for match in FENCE.finditer(text):
        lines = [line.removeprefix(match["indent"]) for line in match["text"].splitlines(keepends=True)]
        yield Block(_place(page, text, match.start()), match["language"], "".join(lines))


def _place(page: str, text: str, position: int) -> str:
    return f"{page}:{text.count(chr(10), 0, position) + 1}"


def prose(page: str) -> str:
    """The page with its blocks blanked out, line for line."""
    return FENCE.sub(lambda match: "\n" * match[0].count("\n"), PAGES[page].read_text("utf-8"))


def is_command(line: str) -> bool:
    return line.removeprefix("$ ").startswith((*(f"{program} " for program in PROGRAMS), "--config."))


def commands(page: str) -> Iterator[Command]:
    """Those in blocks; those on lines of their own; those between backticks."""
    for block in blocks(page):
        if block.language in ("", "bash", "sh", "console"):
            yield from _commands_in(block.text, block.place)
    text = prose(page)
    for match in re.finditer(r"^ *((?:\$ |python -m |make )(?:.*\\\n)*.*)$", text, re.MULTILINE):
        yield from _commands_in(match[1], _place(page, text, match.start()))
    for match in re.finditer(r"`([^`]+)`", text):
        if is_command(match[1]):
            yield from _commands_in(" ".join(match[1].split()), _place(page, text, match.start()))


def _commands_in(text: str, place: str) -> Iterator[Command]:
    for line in text.replace("\\\n", " ").splitlines():
        if is_command(line.strip()):
            words = tuple(shlex.split(line.strip().removeprefix("$ "), comments=True))
            yield Command(place, words)
