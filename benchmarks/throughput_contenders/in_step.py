"""Our model trained by several processes of this machine in step (`MultiWorkerMirroredStrategy` on loopback)."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys

import tensorflow as tf

from smooth_recs.cluster.local import cluster
from throughput_contenders import ours
from throughput_contenders.fitting import by_name, dataset, fitted
from throughput_contenders.work import Turn, Work


def workers(work: Work) -> Turn:
    """As many processes as `work.parts`, which share every batch; this one is the first of them."""
    if work.parts == 1:
        return ours.recipe(dataclasses.replace(work, per_execution=1))
    addresses = cluster(workers=work.parts, servers=0)
    configs = [{"cluster": addresses, "task": {"type": "worker", "index": k}} for k in range(work.parts)]
    command = [sys.executable, "-m", "throughput_contenders", "in_step:worker", work.to_json()]
    others = [
        subprocess.Popen(
            command,
            env={**os.environ, "TF_CONFIG": json.dumps(config)},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        for config in configs[1:]
    ]
    os.environ["TF_CONFIG"] = json.dumps(configs[0])
    here = worker(work)

    def turn(steps: int) -> int:
        for other in others:
            assert other.stdin is not None
            print(steps, file=other.stdin, flush=True)
        return here(steps)

    return turn


def worker(work: Work) -> Turn:
    """One of them, by TF_CONFIG; a step a call, as a run of several processes has it."""
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    with strategy.scope():
        model = ours.compiled(dataclasses.replace(work, per_execution=1), **ours.RECIPE)
    return fitted(work, model, dataset(work, by_name(work)))
