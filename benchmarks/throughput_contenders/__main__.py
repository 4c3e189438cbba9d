"""The process of one contender: makes it, then trains for as many steps as each line of its input says.

    python -m throughput_contenders ours:recipe '{"batch_size": 2048, ...}'

Answers are lines of JSON: first that it is ready, or why it is absent, then what each turn took.
"""

from __future__ import annotations

import glob
import importlib
import json
import os
import sys
import time

from throughput_contenders.work import Work


def main() -> None:
    name, sizes = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no answer
    family, function = name.split(":")
    try:
        turn = getattr(importlib.import_module(f"throughput_contenders.{family}"), function)(Work.from_json(sizes))
    except ImportError as error:
        print(json.dumps({"absent": str(error).splitlines()[0]}), file=answers)
        return
    at_rest = _memory("VmRSS")
    print(json.dumps({"ready": True}), file=answers)
    for line in sys.stdin:
        begun = time.perf_counter(), processor_time()
        done = turn(int(line))
        wall, processor = time.perf_counter() - begun[0], processor_time() - begun[1]
        memory = {"memory_at_rest": at_rest, "peak_memory": _memory("VmHWM")}
        took = {"done": done, "wall": wall, "processor": processor, "processor_so_far": processor_time()}
        print(json.dumps(took | memory), file=answers)


def processor_time() -> float:
    """Seconds of this process and, on Linux, of the processes that it started and that still run."""
    seconds, ticks = time.process_time(), os.sysconf("SC_CLK_TCK")
    for children in glob.glob("/proc/self/task/*/children"):
        with open(children, encoding="utf-8") as file:
            for child in file.read().split():
                with open(f"/proc/{child}/stat", encoding="utf-8") as status:
                    user, system = status.read().rsplit(")", 1)[1].split()[11:13]
                seconds += (int(user) + int(system)) / ticks
    return seconds


def _memory(kind: str) -> int:
    """Of this process, in bytes: `VmRSS` now, `VmHWM` at most so far; 0 where the system does not say (not Linux)."""
    try:
        with open("/proc/self/status", encoding="utf-8") as status:
            return int(status.read().split(f"{kind}:")[1].split()[0]) * 1024
    except OSError:
        return 0


if __name__ == "__main__":
    main()
