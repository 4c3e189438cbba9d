"""The one wrapper of every binary: from flags to an exit status.

    0    done
    1    the run failed: one line says why, --verbosity=1 adds the traceback
    2    wrong flags, configuration or input: one line names the field, the rule and the value
    3    a gate was not met
    4    a training diverged: its predictions are no numbers
    130  interrupted

A binary defines its flags, then calls `run(main)`. `main` imports what needs TensorFlow, so that --help and wrong flags
are answered at once.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging as std_logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence

from absl import app, flags, logging

from smooth_recs.bin import config_flag, help_text, stderr
from smooth_recs.bin.one_line import one_line
from smooth_recs.errors import Diverged, GateNotMet, InputError

flags.disclaim_key_flags()  # a flag defined through this module is the binary's own

_HELP = ("-h", "-?", "-help", "--help", "-helpshort", "--helpshort")
_required: list[flags.FlagHolder[str | None]] = []


def required_string(name: str, text: str) -> flags.FlagHolder[str | None]:
    """Defines a flag that must be given, and not be empty."""
    holder = flags.DEFINE_string(name, None, text)
    _required.append(holder)
    return holder


def run(main: Callable[[], None], *, tensorflow: bool = True) -> None:
    """Parses the flags, calls `main` and ends the process with the status of what happened.

    Args:
      main: the program.
      tensorflow: whether it needs TensorFlow, which then is loaded without its messages.
    """
    app.run(functools.partial(_call, main, tensorflow), flags_parser=_parse)


def _parse(argv: Sequence[str]) -> None:
    if any(argument in _HELP for argument in argv[1:]):
        with contextlib.suppress(BrokenPipeError):  # as of `--help | head`
            print(help_text.of_binary(sys.modules["__main__"].__doc__ or "", config_flag.is_defined()), flush=True)
        sys.exit(0)
    try:
        _parse_flags(argv)
    except SystemExit:  # --helpfull and the like: absl ends them with 1
        sys.exit(0)
    except (flags.Error, ValueError) as error:
        sys.exit(_report(error, 2))


def _parse_flags(argv: Sequence[str]) -> None:
    flags.FLAGS.set_gnu_getopt(True)  # flags may follow an argument, which is an error of its own
    argv = flags.FLAGS.read_flags_from_files(list(argv), force_gnu=True)
    config_flag.check_overrides(argv)
    rest = flags.FLAGS(argv)[1:]
    if rest:
        raise InputError(f"arguments must be flags (--name=value), got {rest[0]!r}")
    for holder in _required:
        if not holder.value:
            raise InputError(f"--{holder.name} must be given: {flags.FLAGS[holder.name].help}")
    config_flag.validate()


def _call(main: Callable[[], None], tensorflow: bool, _: None) -> int:
    std_logging.getLogger("matplotlib").setLevel(std_logging.WARNING)  # --verbosity=1 would show its search for fonts
    try:
        if tensorflow and flags.FLAGS.verbosity < 1:
            _load_tensorflow_quietly()
        main()
    except InputError as error:
        return _report(error, 2)
    except GateNotMet as error:
        return _report(error, 3)
    except Diverged as error:
        return _report(error, 4)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        return _report(error, 1)
    return 0


def _load_tensorflow_quietly() -> None:
    """Leaves standard error to this program: what TensorFlow logs about a failure, its exception says too."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.set_verbosity(logging.WARNING)  # app.run turns on what TensorFlow notes about every export
    with stderr.held_back():
        importlib.import_module("tensorflow")


def _report(error: Exception, status: int) -> int:
    """Says in one line what happened; returns `status`."""
    if flags.FLAGS["verbosity"].value >= 1:
        traceback.print_exception(error)
    said = one_line(error) if status == 1 else " ".join(str(error).split())
    print(f"error: {said}", file=sys.stderr)
    return status
