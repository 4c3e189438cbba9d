"""Subcommands of `smooth-recs`, also as `python -m smooth_recs`: they are the binaries.

`smooth-recs train FLAGS` is `python -m smooth_recs.bin.train FLAGS`, with the same flags and exit statuses. What there
is, is what lies in `bin/`; the first sentence of a binary's docstring says what it is for.
"""

from __future__ import annotations

import ast
import runpy
import sys
import textwrap
from pathlib import Path

from smooth_recs import bin as binaries
from smooth_recs import fields
from smooth_recs.bin import _command
from smooth_recs.version import __version__

NAME = "smooth-recs"


def subcommands() -> dict[str, str]:
    """The binaries by name: the first sentence of each docstring, read without importing them."""
    found = {}
    for path in sorted(Path(binaries.__path__[0]).glob("[!_]*.py")):
        text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        found[path.stem] = " ".join(text.partition("\n\n")[0].split())
    return found


def main() -> None:
    """Runs the subcommand that the command line names; ends the process with its exit status."""
    name, *arguments = sys.argv[1:] or [""]
    known = subcommands()
    chosen = name.replace("-", "_")
    if name in ("-h", "--help", "help"):
        width = max(map(len, known)) + 2
        lines = [
            textwrap.fill(f"  {each:<{width}}{summary}", 100, subsequent_indent=" " * (width + 2))
            for each, summary in known.items()
        ]
        print(
            f"{NAME} SUBCOMMAND FLAGS; {NAME} SUBCOMMAND --help lists its flags, {NAME} --version says the version.\n"
        )
        print("\n".join(lines))
        sys.exit(0)
    if name == "--version":
        print(f"{NAME} {__version__}")
        sys.exit(0)
    if chosen not in known:
        hint = fields.did_you_mean(chosen, known) or f"there are {', '.join(known)}"
        said = f"no such subcommand: {name!r}; {hint}" if name else f"a subcommand must be given: {', '.join(known)}"
        print(f"error: {said}", file=sys.stderr)
        sys.exit(2)
    _command.called_as = f"{NAME} "
    sys.argv = [f"{NAME} {chosen}", *arguments]
    runpy.run_module(f"{binaries.__name__}.{chosen}", run_name="__main__", alter_sys=True)
