"""Scripts that make a shell complete the subcommands of smooth-recs, their flags, and the values of these."""

from __future__ import annotations

import importlib
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence

from absl import flags

from smooth_recs import fields
from smooth_recs.bin import _configurations, _subcommands
from smooth_recs.config import Config

_BASH = """\
_smooth_recs() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} flag= words=
  COMPREPLY=()
  if [[ $COMP_CWORD == 1 ]]; then COMPREPLY=($(compgen -W {subcommands} -- "$current")); return; fi
  if [[ $current == = ]]; then flag=$before; current=
  elif [[ $before == = ]]; then flag=${{COMP_WORDS[COMP_CWORD-2]}}; fi
  if [[ $flag ]]; then
    case $flag in
{values}
    esac
    COMPREPLY=($(compgen -W "$words" -- "$current") $(compgen -f -- "$current"))
    return
  fi
  case ${{COMP_WORDS[1]}} in
{flags}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [[ ${{COMPREPLY[0]}} == *= ]] && compopt -o nospace 2> /dev/null
}}
complete -F _smooth_recs {name}"""

_ZSH = """\
_smooth_recs() {{
  local words_ flag
  if (( CURRENT == 2 )); then compadd -- ${{(z)${{:-{subcommands}}}}}; return; fi
  if [[ $words[CURRENT] == --*=* ]]; then
    flag=${{words[CURRENT]%%=*}}
    compset -P '*='
    case $flag in
{values}
    esac
    compadd -- ${{(z)words_}}
    _files
    return
  fi
  case $words[2] in
{flags}
  esac
  compadd -S '' -- ${{(z)words_}}
}}
compdef _smooth_recs {name}"""


def script(shell: str) -> str:
    """The completion script for `bash` or `zsh`. To be called once in a process, whose own flags it forgets."""
    for flag in flags.FLAGS.get_flags_for_module(sys.argv[0]):  # they would be defined a second time
        delattr(flags.FLAGS, flag.name)
    values: dict[str, Sequence[str]] = {"--config": tuple(_configurations.ready())}
    for name, kind, _ in fields.walk(Config()):
        if name != "data.schema":  # which no flag can be
            values[f"--config.{name}"] = tuple(_choices(kind))
    offered = {}
    for name in _subcommands.subcommands():
        found = _flags_of(name)
        for flag in found:
            choices = getattr(flag.parser, "enum_values", None)
            if choices:
                values[f"--{flag.name}"] = tuple(choices)
        offered[name] = [f"--{flag.name}{'=' * (not flag.boolean)}" for flag in found] + ["--help"]
        if "--config=" in offered[name]:
            offered[name] += [f"{field}=" for field in values if field.startswith("--config.")]
    template, variable = (_BASH, "words") if shell == "bash" else (_ZSH, "words_")

    def cases(words: Mapping[str, Sequence[str]], indent: str) -> str:
        return "\n".join(
            f"{indent}{name}) {variable}={shlex.quote(' '.join(each))} ;;" for name, each in words.items() if each
        )

    return template.format(
        name=_subcommands.NAME,
        subcommands=shlex.quote(" ".join(offered)),
        values=cases(values, "      "),
        flags=cases(offered, "    "),
    )


def _flags_of(name: str) -> list[flags.Flag]:
    """The flags that a binary defines; they are forgotten again, because several have the same."""
    before = set(flags.FLAGS)
    importlib.import_module(f"smooth_recs.bin.{name}")
    found = [flags.FLAGS[each] for each in sorted(set(flags.FLAGS) - before)]
    for flag in found:
        delattr(flags.FLAGS, flag.name)
    return found


def _choices(kind: object) -> Iterator[str]:
    """The texts that a field may be, as far as they can be listed."""
    for each in fields.alternatives(kind):
        yield from ("true", "false") if each is bool else fields.choices(each)
