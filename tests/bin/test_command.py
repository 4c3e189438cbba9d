"""The wrapper of the binaries, from real processes: exit statuses, one line on standard error, TensorFlow's silence."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest
from source_imports import ROOT

from smooth_recs.errors import one_line

BINARY = """
'''A binary of a test.'''
import sys
from absl import flags
from smooth_recs.bin import _command
from smooth_recs.errors import GateNotMet, InputError, Interrupted

def main():
{body}

_command.run(main)
"""
NOISY = "import os\nos.write(2, b'I0000 port.cc: custom operations are on')\n"


@pytest.fixture
def run(tmp_path):
    """Runs a binary whose main is `body` beside a stand-in for TensorFlow that talks while it is imported."""
    folder = tmp_path / "smooth_recs" / "bin"
    folder.mkdir(parents=True)
    (folder / "tensorflow.py").write_text(NOISY)

    def start(body, *arguments):
        (folder / "binary.py").write_text(BINARY.format(body=textwrap.indent(body, "    ")))
        return process(folder / "binary.py", *arguments)

    return start


def process(*arguments):
    setting = {"PYTHONPATH": str(ROOT), "PATH": ""}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=120, env=setting)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("print('trained')", 0, ""),
        ("raise RuntimeError('lost it')", 1, "error: RuntimeError: lost it\n"),
        ("raise ValueError('from deep inside\\n\\nof a library')", 1, "error: ValueError: from deep inside\n"),
        (
            "raise MemoryError",
            1,
            "error: MemoryError: memory ran out, or what the process may have of it (ulimit -v): take smaller tables\n",
        ),
        ("raise InputError('data.path: no such file: x')", 2, "error: data.path: no such file: x\n"),
        ("raise GateNotMet('pd must be at most 0.1, got 0.2')", 3, "error: pd must be at most 0.1, got 0.2\n"),
        ("raise KeyboardInterrupt", 130, "interrupted\n"),
        ("raise Interrupted(15)", 143, "interrupted by SIGTERM: the same command resumes the run\n"),
        (
            "raise InputError(f'no column in {10**5 * \"x\"}: name the columns')",
            2,
            f"error: no column in {'x' * 224} ... {'x' * 140}: name the columns\n",
        ),
    ],
)
def test_what_happens_becomes_a_status_and_a_line(run, body, status, said):
    done = run(body)
    assert (done.returncode, done.stderr) == (status, said)
    assert done.stdout == ("trained\n" if status == 0 else "")


def test_a_reader_that_stops_reading_stops_nothing(run, tmp_path):
    (tmp_path / "smooth_recs" / "bin" / "binary.py").write_text(
        BINARY.format(
            body="    for n in range(100_000):\n        print(n, flush=n == 0)\n    open('done', 'w').close()\n"
            "    print('late', file=sys.stderr)\n    raise InputError('the end')"
        )
    )
    command = f"{sys.executable} {tmp_path}/smooth_recs/bin/binary.py | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )
    assert (done.stdout, done.stderr) == ("0\n2\n", "late\nerror: the end\n")
    assert (tmp_path / "done").exists()
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "smooth_recs/bin/binary.py"],
        stdout=write,
        stderr=write,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
    )
    os.close(write)
    assert done.returncode == 2


def test_verbosity_adds_the_traceback_and_what_tensorflow_says(run):
    done = run("raise RuntimeError('lost it')", "--verbosity=1")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "line 9, in main" in done.stderr
    assert done.stderr.endswith("\nerror: RuntimeError: lost it\n")
    loud = run("import tensorflow", "--verbosity=1")
    assert loud.stderr == "I0000 port.cc: custom operations are on"


def test_what_main_writes_to_standard_error_is_seen(run):
    assert run("print('0.5 done', file=sys.stderr)").stderr == "0.5 done\n"


def test_notes_of_libraries_need_verbosity(run):
    body = "from absl import logging\nlogging.info('a note')\nlogging.warning('a warning')"
    quiet, loud = run(body).stderr, run(body, "--verbosity=1").stderr
    assert "a note" not in quiet
    assert "a warning" in quiet
    assert "a note" in loud


def test_a_tensorflow_that_cannot_be_loaded_is_seen(run, tmp_path):
    (tmp_path / "smooth_recs" / "bin" / "tensorflow.py").write_text(NOISY + "raise ImportError('no AVX')\n")
    done = run("print('trained')")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "I0000 port.cc: custom operations are onerror: ImportError: no AVX\n"


def test_a_binary_without_a_configuration_knows_no_such_flag(run):
    done = run("print('trained')", "--config=demo.py")
    assert done.returncode == 2
    assert "Unknown command line flag 'config'" in done.stderr
    assert "--config" not in run("print('trained')", "--help").stdout


@pytest.mark.slow
def test_tensorflow_is_silent_and_its_reason_is_told(tmp_path):
    folder = tmp_path / "smooth_recs" / "bin"
    folder.mkdir(parents=True)
    body = (
        "import tensorflow as tf\ntf.function(lambda x: tf.debugging.check_numerics(x / 0.0, 'loss'))(tf.constant(1.0))"
    )
    (folder / "binary.py").write_text(BINARY.format(body=textwrap.indent(body, "    ")))
    done = process(folder / "binary.py")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: InvalidArgumentError: loss : Tensor had Inf values\n"


GRAPH_ERROR = """Graph execution error:

Detected at node a defined at (most recent call last):
  File "x.py", line 1, in f

bad row 7
 [[{{node a}}]] [Op:__inference_f_24]"""


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("", "ValueError"),
        ("first\nsecond", "ValueError: first"),
        (GRAPH_ERROR, "ValueError: bad row 7"),
        ("2 root error(s) found.\n  (0) INVALID: bad row 7\n\t [[{{node a}}]]", "ValueError: (0) INVALID: bad row 7"),
        ("{{function_node __wrapped__IteratorGetNext}} bad row 7\n\t [[{{node a}}]]", "ValueError: bad row 7"),
        ("Graph execution error:", "ValueError: Graph execution error:"),
    ],
)
def test_one_line_finds_the_reason(message, line):
    assert one_line(ValueError(message)) == line


def test_one_line_is_cut():
    assert one_line(ValueError("x" * 1000)) == f"ValueError: {'x' * 225} ... {'x' * 158}"
