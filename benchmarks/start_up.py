"""What starting costs: `import smooth_recs` beside `import tensorflow`, the answer of --help, the way to a first step.

    python benchmarks/start_up.py --rounds=9
    python benchmarks/start_up.py --rounds=3 --first_step=demo,trivago=DIR,kuairand=DIR

With --first_step it measures runs of these configurations instead, a name and the folder of its data, in a new workdir
each, from the start of the process to the end of the first execution of training steps, phase by phase.

Every measurement is a fresh process; they take turns, in another order each round. Processor time is what is judged,
since the clock of a shared machine jumps; wall-clock time stands beside. `import smooth_recs` is timed in a process
that has just imported TensorFlow, so that it is not the difference of two large numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

IMPORTS = """
import json, time
marks = [(time.process_time(), time.perf_counter())]
import tensorflow
marks.append((time.process_time(), time.perf_counter()))
import smooth_recs
marks.append((time.process_time(), time.perf_counter()))
print(json.dumps([[end - start for start, end in zip(*pair)] for pair in zip(marks, marks[1:])]))
"""
PHASES = ("interpreter, imports", "first pass over files", "building", "tracing", "first step", "in all")
FIRST_STEP = """
import json, os, sys, time

sys.argv[0] = "smooth-recs"  # else the package imports TensorFlow itself, without what a command does to save time
marks = []


def mark(phase):
    marks.append((phase, time.process_time(), time.time()))


def first_step(train):
    from smooth_recs.data import stream
    from smooth_recs.models.siblings import SiblingModel
    from smooth_recs.training import loop, monitoring

    def marked(owner, name, before, after):
        function = getattr(owner, name)

        def wrapped(*args, **kwargs):
            if before:
                mark(before)
            found = function(*args, **kwargs)
            if after:
                mark(after)
            return found

        setattr(owner, name, wrapped)

    marked(stream, "open_run", "interpreter, imports", "first pass over files")
    marked(SiblingModel, "fit", "building", None)
    marked(SiblingModel, "train_step", None, "tracing")

    def ends(*_, **__):
        mark("first step")
        print(json.dumps(marks), flush=True)
        os._exit(0)

    monitoring.Speed.on_train_batch_end = ends
    train()


from smooth_recs.bin import _command, train
_command.run(lambda: first_step(train.main))
"""
GENERATIONS = {"Keras 2": "1", "Keras 3": "0"}
STEPS = ("import tensorflow", "import smooth_recs after it")
PROGRAMS = {"python -c pass": ["-c", "pass"]} | {
    f"bin.train {flag}": ["-m", "smooth_recs.bin.train", flag] for flag in ("--help", "--helpfull")
}
LIMITS = {"import smooth_recs after it": 0.3}  # seconds of processor time


class Seconds(NamedTuple):
    processor: float
    wall: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--first_step", default="", help="NAME or NAME=FOLDER of ready configurations, with commas")
    arguments = parser.parse_args()
    if arguments.first_step:
        first_steps(arguments.first_step.split(","), arguments.rounds)
        return
    samples = measured(arguments.rounds)
    print_row("what", "processor time", "wall-clock time", "goal")
    print_row(*["---"] * 4)
    for name, found in samples.items():
        processor, wall = ([getattr(each, clock) for each in found] for clock in Seconds._fields)
        print_row(name, spread(processor), spread(wall), judged(name, statistics.median(processor)))
    print("Each: the median of the processes (the least to the greatest).")


def measured(rounds: int) -> dict[str, list[Seconds]]:
    """Samples by name; a first round, not counted, brings the files into memory."""
    samples: dict[str, list[Seconds]] = {}
    contenders = [*GENERATIONS, *PROGRAMS]
    for turn in range(-1, rounds):
        for contender in contenders if turn < 0 else random.sample(contenders, len(contenders)):
            found = imports(contender) if contender in GENERATIONS else {contender: program(PROGRAMS[contender])}
            for name, seconds in found.items():
                samples.setdefault(name, []).extend([seconds] * (turn >= 0))
    return samples


def imports(generation: str) -> dict[str, Seconds]:
    """What importing TensorFlow takes, and smooth_recs after it."""
    settings = {"TF_USE_LEGACY_KERAS": GENERATIONS[generation], "TF_CPP_MIN_LOG_LEVEL": "3"}
    printed = python(["-c", IMPORTS], settings).splitlines()[-1]
    return {f"{step}, {generation}": Seconds(*found) for step, found in zip(STEPS, json.loads(printed), strict=True)}


def first_steps(named: list[str], rounds: int) -> None:
    """Prints what each phase takes until the first training step, for every configuration."""
    samples: dict[str, list[dict[str, Seconds]]] = {name: [] for name in named}
    for _ in range(rounds):
        for name in random.sample(named, len(named)):
            samples[name].append(phases(name))
    print_row("to the first step", "phase", "processor time", "wall-clock time")
    print_row(*["---"] * 4)
    for name, runs in samples.items():
        for phase in PHASES:
            processor, wall = ([getattr(run[phase], clock) for run in runs] for clock in Seconds._fields)
            print_row(name.partition("=")[0], phase, spread(processor), spread(wall))
    print("Each: the median of the processes (the least to the greatest).")


def phases(named: str) -> dict[str, Seconds]:
    """The phases of one process that ends after its first training step."""
    name, _, folder = named.partition("=")
    with tempfile.TemporaryDirectory() as workdir:
        flags = [f"--config={name}", f"--workdir={workdir}", *([f"--config.data.path={folder}"] if folder else [])]
        began = time.time()
        marks = json.loads(python(["-c", FIRST_STEP, *flags], {}).splitlines()[-1])
    ends = {phase: (processor, wall - began) for phase, processor, wall in marks}  # the last of several traces
    found, before = {}, (0.0, 0.0)
    for phase in PHASES[:-1]:
        found[phase] = Seconds(*(end - start for end, start in zip(ends[phase], before, strict=True)))
        before = ends[phase]
    return found | {PHASES[-1]: Seconds(*before)}


def program(arguments: list[str]) -> Seconds:
    """What a whole process takes."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    python(arguments, {})
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Seconds(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, wall)


def python(arguments: list[str], settings: dict[str, str]) -> str:
    """What the process prints; ends with what it says where it fails."""
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} s ({min(values):.3f} to {max(values):.3f})"


def judged(name: str, median: float) -> str:
    limit = next((limit for start, limit in LIMITS.items() if name.startswith(start)), None)
    if limit is None:
        return ""
    return f"at most {limit:g} s: {'met' if median <= limit else 'missed'}"


def print_row(*cells: str) -> None:
    print("|", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
