"""The one wrapper of every binary: from flags to an exit status, and what --help says.

    0    done
    1    the run failed: one line says why, --verbosity=1 adds the traceback
    2    wrong flags, configuration or input: one line names the field, the rule and the value
    3    a gate was not met
    4    a training diverged: its predictions are no numbers
    130  interrupted (Ctrl-C); a training saves a checkpoint before it ends
    143  the same by SIGTERM

Where nobody reads what it prints any more (`| head`), it goes on in silence: files and status are as ever.

A binary defines its flags, then calls `run(main)`. `main` imports what needs TensorFlow, so that --help and wrong flags
are answered at once.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import importlib.util
import inspect
import io
import logging as std_logging
import os
import shutil
import signal
import sys
import tempfile
import textwrap
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from absl import app, flags, logging

from smooth_recs import _memory, fields, keras_generation
from smooth_recs.bin import _configurations, _flags
from smooth_recs.config import Config
from smooth_recs.errors import Diverged, GateNotMet, InputError, Interrupted, one_line, shortened

_KERAS = flags.DEFINE_enum(
    "keras",
    None,
    ["2", "3"],
    f"the generation of Keras: 2 is tf_keras, 3 Keras 3 on TensorFlow; else as {keras_generation.LEGACY_VARIABLE} says "
    "(0 is Keras 3), and without it 2",
)
_MEMORY = flags.DEFINE_float(
    "memory_gib",
    None,
    "memory that this process may take, in GiB, where the system says something else: what cannot fit into it is "
    f"refused; else as {_memory.VARIABLE} says",
    lower_bound=0,
)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Drops what the process, native code included, writes to standard error; shows it if the block fails.

    TensorFlow 2.21 writes some lines while it is imported, before any of its settings counts.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as written:
        original = os.dup(2)
        os.dup2(written.fileno(), 2)
        try:
            yield
        except BaseException:
            written.seek(0)
            with open(original, "wb", closefd=False) as shown:
                shutil.copyfileobj(written, shown)
            raise
        finally:
            sys.stderr.flush()
            os.dup2(original, 2)
            os.close(original)


class _Unread(io.FileIO):
    """A standard stream that goes on into nothing once nobody reads it."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            # The descriptor itself, so that processes that are started later and native code write into nothing too.
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self.fileno())
            os.close(nothing)
            return len(data)


def _outlast_readers() -> None:
    """Replaces the standard streams by ones that raise no BrokenPipeError, neither now nor when Python flushes them."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # the shell closed it: `>&-`
            continue
        stream.flush()
        buffer = io.BufferedWriter(_Unread(stream.fileno(), "w", closefd=False))
        wrapped = io.TextIOWrapper(
            buffer,
            encoding=stream.encoding,
            errors=stream.errors,
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        setattr(sys, name, wrapped)


flags.disclaim_key_flags()  # a flag defined through this module is the binary's own

_WIDTH = 100
_OBJECTS = 100_000  # new ones between two searches for cycles
_HELP = ("-h", "-?", "-help", "--help", "-helpshort", "--helpshort")
_STATUSES = """\
Exit status: 0 done; 1 the run failed; 2 wrong flags, configuration or input; 3 a gate was not met;
4 a training diverged."""


def help_text(docstring: str, takes_config: bool) -> str:
    """The docstring of a binary, its own flags without absl's, the fields of a configuration, the exit statuses."""
    own = [(f"--{flag.name}", flag.help) for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0])]
    common = [(f"--{name}", str(flags.FLAGS[name].help)) for name in ("keras", "memory_gib")]
    common += [("--verbosity=1", "adds the traceback where a run fails"), ("--helpfull", "every flag of absl too")]
    about = inspect.cleandoc(docstring).replace("python -m smooth_recs.bin.", called_as)
    parts = [about, "\n".join(["Flags:", *(_entry(name, text) for name, text in own + common)])]
    if takes_config:
        sections: dict[str, list[str]] = {}  # a paragraph each, of all fields with their defaults
        for name, _, value in fields.walk(Config()):
            section, _, field = name.rpartition(".")
            sections.setdefault(section, []).append(f"{field}={_shown(value)}")
        title = "Fields for --config.FIELD=VALUE, with the defaults of smooth_recs/config.py; files in configs/ differ:"
        entries = (_entry(section or "(top)", "  ".join(texts)) for section, texts in sections.items())
        parts.append("\n".join([title, *entries]))
    return "\n\n".join([*parts, _STATUSES])


def _shown(value: Any) -> str:
    """The text that one writes for `value` after --config.FIELD=."""
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "()"
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else repr(value) if value in ("", ",") else str(value)


def _entry(name: str, text: str) -> str:
    return textwrap.fill(f"  {name:<17} {text}", _WIDTH, subsequent_indent=" " * 20, break_on_hyphens=False)


called_as = "python -m smooth_recs.bin."  # what stands before the names of binaries in --help
_required: list[flags.FlagHolder[str | None]] = []


def required_string(name: str, text: str) -> flags.FlagHolder[str | None]:
    """Defines a flag that must be given, and not be empty."""
    holder = flags.DEFINE_string(name, None, text)
    _required.append(holder)
    return holder


def jobs() -> flags.FlagHolder[int]:
    """Defines --jobs, of the commands that start trainings."""
    text = "trainings at a time; small ones leave cores idle, and two side by side take less than one after the other"
    return flags.DEFINE_integer("jobs", 1, text, lower_bound=1)


def run(main: Callable[[], None], *, tensorflow: bool = True, trains: bool = False) -> None:
    """Parses the flags, calls `main` and ends the process with the status of what happened.

    Args:
      main: the program.
      tensorflow: whether it needs TensorFlow, which then is loaded without its messages.
      trains: whether it starts trainings, which then are forks of this process.
    """
    _outlast_readers()
    app.run(functools.partial(_call, main, tensorflow, trains), flags_parser=_parse)


def _parse(argv: Sequence[str]) -> None:
    """Parses the flags in absl's place, which would write several lines on an error and end with status 1."""
    if any(argument in _HELP for argument in argv[1:]):
        print(help_text(sys.modules["__main__"].__doc__ or "", _flags.is_defined()))
        sys.exit(0)
    try:
        parse_flags(argv)
    except SystemExit:  # --helpfull and the like: absl ends them with 1
        sys.exit(0)
    except (flags.Error, ValueError) as error:
        sys.exit(_report(error, 2))


def parse_flags(argv: Sequence[str]) -> None:
    """Sets the flags from the command line, program first; InputError or flags.Error for what is wrong with them."""
    flags.FLAGS.set_gnu_getopt(True)  # flags may follow an argument, which is an error of its own
    argv = flags.FLAGS.read_flags_from_files(list(argv), force_gnu=True)
    rest = flags.FLAGS(_flags.checked(argv))[1:]
    if rest:
        raise InputError(f"arguments must be flags (--name=value), got {rest[0]!r}")
    for holder in _required:
        if not holder.value:
            raise InputError(f"--{holder.name} must be given: {flags.FLAGS[holder.name].help}")
    _flags.validate()


def _call(main: Callable[[], None], tensorflow: bool, trains: bool, _: None) -> int:
    std_logging.getLogger("matplotlib").setLevel(std_logging.WARNING)  # --verbosity=1 would show its search for fonts

    def program() -> None:
        if tensorflow and importlib.util.find_spec("tensorflow") is None:
            raise InputError(
                "this command needs TensorFlow, which is not installed: pip install smooth-recs[tensorflow]"
            )
        if _KERAS.value:
            keras_generation.choose(int(_KERAS.value))
        if _MEMORY.value is not None:
            os.environ[_memory.VARIABLE] = str(_MEMORY.value)  # also for the processes that this one starts
        if tensorflow and flags.FLAGS.verbosity < 1:
            # Standard error is this program's: what TensorFlow logs about a failure, its exception says too.
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
            logging.set_verbosity(logging.WARNING)  # app.run turns on what TensorFlow notes about every export
            _load_tensorflow()
        if not trains:
            main()
            return
        from smooth_recs.experiments import training_processes

        with training_processes.forked(_trained):
            main()

    return _status_of(program)


def _trained(config: str, workdir: str) -> int:
    """Does in a fork what the train binary does with these flags; returns its status."""
    from smooth_recs import training

    return _status_of(lambda: training.train_and_evaluate(_configurations.load(config), workdir))


def _status_of(program: Callable[[], object]) -> int:
    """Calls the program, and returns the exit status for what came of it; an error is said in one line."""
    try:
        program()
    except InputError as error:
        return _report(error, 2)
    except GateNotMet as error:
        return _report(error, 3)
    except Diverged as error:
        return _report(error, 4)
    except KeyboardInterrupt as error:
        number = error.number if isinstance(error, Interrupted) else signal.SIGINT
        print(str(error) or "interrupted", file=sys.stderr)
        # At once: the threads and the native parts of TensorFlow may take longer to end than a preemption waits.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(128 + number)
    except Exception as error:
        return _report(error, 1)
    return 0


def _load_tensorflow() -> None:
    """Imports TensorFlow without its messages; a terminal shows for how long.

    Python's collector of cycles would go through all that an import and a trace make, again and again, to find nothing:
    importing takes a fifth less time without it, and afterwards it looks more rarely.
    """
    from smooth_recs._status import STATUS, is_terminal

    gc.disable()
    with held_back(), STATUS.clock():
        if is_terminal(STATUS.stream):
            STATUS.begin("starting", "TensorFlow")
        importlib.import_module("tensorflow")
    gc.freeze()
    gc.set_threshold(_OBJECTS, 20, 20)
    gc.enable()


def _report(error: Exception, status: int) -> int:
    """Says in one line what happened; returns `status`."""
    if flags.FLAGS["verbosity"].value >= 1:
        traceback.print_exception(error)
    said = one_line(error) if status == 1 else shortened(str(error))
    print(f"error: {said}", file=sys.stderr)
    return status
