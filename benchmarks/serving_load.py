"""Requests a second, and how long the slow ones take, of exports under load: through TensorFlow Serving's C++ loader.

    python benchmarks/serving_load.py --seconds=5 --turns=3

The configuration's network as ReLU and as SmeLU, with row norms. Threads ask one session at once, each the next request
when it has the answer, for some seconds; a request lies in tensors already, so that a time is that of the session. A
turn asks every number of threads, both exports one after the other in another order each time; what is printed is the
median of the turns. The session takes as many threads as there are cores.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import runpy
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np

from smooth_recs import config
from smooth_recs.data.presets import open_source
from smooth_recs.serving import requests
from smooth_recs.serving.loader import LoadedModel

COST = runpy.run_path(str(Path(__file__).with_name("serving_cost.py")))
THREADS = (1, 2, 4, 8, 16)
SIZES = (1, 1000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="of asking, for each export and number of threads")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--hidden_units", type=int, nargs="+", default=list(config.Model().hidden_units))
    parser.add_argument("--embedding_dim", type=int, default=config.Model().embedding_dim)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        source = open_source(config.Data(examples=max(SIZES), eval_examples=max(SIZES)), folder)
        rows = requests.held_out(source, max(SIZES))
        networks = [COST["Network"](activation, "weight") for activation in ("relu", "smelu")]
        models = {
            network.activation: stack.enter_context(LoadedModel(COST["exported"](network, arguments, source, folder)))
            for network in networks
        }
        print("| rows | threads | requests a second, ReLU | SmeLU | ratio | p50, ReLU | SmeLU | p99, ReLU | SmeLU |")
        print("| --- " * 9 + "|", flush=True)
        for size in SIZES:
            few = requests.take(rows, slice(size))
            for threads in THREADS:
                found: dict[str, list[Any]] = {name: [] for name in models}
                for _ in range(arguments.turns):
                    for name in random.sample(list(models), len(models)):
                        found[name].append(load(models[name], few, threads, arguments.seconds))
                print_row(size, threads, *(np.median(found[name], axis=0) for name in ("relu", "smelu")))


def load(model: LoadedModel, rows: requests.Batch, threads: int, seconds: float) -> tuple[float, float, float]:
    """Requests a second, and the median and the 99th percentile of their milliseconds."""
    times: list[list[float]] = [[] for _ in range(threads)]
    start = threading.Barrier(threads)

    def ask(own: list[float]) -> None:
        with model.prepared("serving_default", rows) as call:
            call()
            start.wait()
            end = time.perf_counter() + seconds
            while (begun := time.perf_counter()) < end:
                call()
                own.append(time.perf_counter() - begun)

    asking = [threading.Thread(target=ask, args=(own,)) for own in times]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    every = np.concatenate([np.array(own) for own in times])
    p50, p99 = np.quantile(every, (0.5, 0.99)) * 1e3
    return every.size / seconds, float(p50), float(p99)


def print_row(size: int, threads: int, relu: Any, smelu: Any) -> None:
    cells = [f"{size:,}", str(threads), f"{relu[0]:,.0f}", f"{smelu[0]:,.0f}", f"{relu[0] / smelu[0]:.3f}"]
    cells += [f"{each[k]:.3g} ms" for k in (1, 2) for each in (relu, smelu)]
    print("|", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
