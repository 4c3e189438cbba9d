"""What --help says: the binary's own flags first, and nothing of absl's."""

from __future__ import annotations

import inspect
import sys
import textwrap
from typing import Any

from absl import flags

from smooth_recs import fields
from smooth_recs.config import Config

_WIDTH = 100
_STATUSES = """\
Exit status: 0 done; 1 the run failed; 2 wrong flags, configuration or input; 3 a gate was not met;
4 a training diverged."""


def of_binary(docstring: str, takes_config: bool) -> str:
    """The docstring of a binary, its flags, the fields of a configuration and the exit statuses."""
    parts = [inspect.cleandoc(docstring), _flags()]
    if takes_config:
        parts.append(_fields())
    return "\n\n".join([*parts, _STATUSES])


def _flags() -> str:
    own = [(f"--{flag.name}", flag.help) for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0])]
    common = [("--verbosity=1", "adds the traceback where a run fails"), ("--helpfull", "every flag of absl too")]
    return "\n".join(["Flags:", *(_entry(name, text) for name, text in own + common)])


def _fields() -> str:
    """Every field with its default, one paragraph a section."""
    sections: dict[str, list[str]] = {}
    for name, _, value in fields.walk(Config()):
        section, _, field = name.rpartition(".")
        sections.setdefault(section, []).append(f"{field}={_shown(value)}")
    title = "Fields for --config.FIELD=VALUE, with the defaults of smooth_recs/config.py; files in configs/ differ:"
    return "\n".join([title, *(_entry(section or "(top)", "  ".join(texts)) for section, texts in sections.items())])


def _shown(value: Any) -> str:
    """`value` as one writes it after --config.FIELD=."""
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "()"
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else repr(value) if value in ("", ",") else str(value)


def _entry(name: str, text: str) -> str:
    return textwrap.fill(f"  {name:<17} {text}", _WIDTH, subsequent_indent=" " * 20, break_on_hyphens=False)
