"""A run in both generations of Keras: the same numbers, and checkpoints that either reads."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import generation_runs
import numpy as np
from generation_runs import STEPS, built, trained

from smooth_recs.callbacks.checkpoints import reader, restore_newest


def values(folder: Path, step: int) -> dict[str, np.ndarray]:
    """All variables in a checkpoint, by their names there."""
    found = reader(str(folder / f"ckpt-{step}"))
    names = found.get_variable_to_shape_map()
    return {n: found.get_tensor(n) for n in names if not n.startswith("_CHECKPOINTABLE") and "loss_mean" not in n}


def test_a_run_resumes_in_the_other_generation_with_the_same_numbers(tmp_path: Path) -> None:
    first, second = (tmp_path / name for name in ("tf_keras", "keras_3"))
    trained(built(), str(first), half=1)
    shutil.copytree(first, second)
    trained(built(), str(first), half=2)
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "0", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, generation_runs.__file__, str(second)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    of_tf_keras, of_keras_3 = values(first, 2 * STEPS), values(second, 2 * STEPS)
    assert of_tf_keras.keys() == of_keras_3.keys()
    assert len(of_tf_keras) > 40
    for name, value in of_tf_keras.items():
        np.testing.assert_allclose(of_keras_3[name], value, rtol=1e-5, atol=1e-6, err_msg=name)
    # And back: what Keras 3 left is restored whole.
    siblings = built()
    assert restore_newest(siblings, str(second)) == str(second / f"ckpt-{2 * STEPS}")
    table = siblings.replicas[1].embeddings.embeddings.numpy()
    np.testing.assert_array_equal(
        table, of_keras_3["model/replicas/1/embeddings/embeddings/.ATTRIBUTES/VARIABLE_VALUE"]
    )
