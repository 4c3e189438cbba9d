"""Prints what makes a shell complete the subcommands of smooth-recs, their flags, and the values of these.

smooth-recs completion --shell=bash >> ~/.bashrc
smooth-recs completion --shell=zsh >> ~/.zshrc
"""

from __future__ import annotations

from absl import flags

from smooth_recs.bin import _command, _completion

_SHELL = flags.DEFINE_enum("shell", "bash", ("bash", "zsh"), "whose script is printed")


def main() -> None:
    print(_completion.script(_SHELL.value))


if __name__ == "__main__":
    _command.run(main, tensorflow=False)
