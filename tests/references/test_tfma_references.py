"""Prediction difference and its neighbours against TensorFlow Model Analysis, in an environment of its own.

    python -m venv tfma && tfma/bin/pip install tensorflow-model-analysis
    SMOOTH_RECS_TFMA_PYTHON=tfma/bin/python python -m pytest tests/references/test_tfma_references.py

That takes 3 GB and other versions of what this package needs, so that no test installs it.
"""

from __future__ import annotations

import json
import os
import subprocess

import numpy as np
import pytest

from smooth_recs import accuracy, prediction_difference

PYTHON = os.environ.get("SMOOTH_RECS_TFMA_PYTHON", "")
# Seen with TFMA 0.52.0: `tfma.EvalConfig` is gone, and the class of its module is what `analyze_raw_data` takes.
PROGRAM = """
import json, sys
import pandas
import tensorflow_model_analysis as tfma
from google.protobuf import text_format
from tensorflow_model_analysis.proto import config_pb2

config = text_format.Parse('''
    model_specs {
      name: "live" is_baseline: true prediction_key: "a" label_key: "label" example_weight_key: "weight"
    }
    model_specs { name: "new" prediction_key: "b" label_key: "label" example_weight_key: "weight" }
    slicing_specs {}
    metrics_specs {
      metrics { class_name: "SymmetricPredictionDifference" }
      metrics { class_name: "BooleanFlipRates" }
      metrics { class_name: "Calibration" }
      metrics { class_name: "MeanPrediction" }
      model_names: ["live", "new"]
    }
''', config_pb2.EvalConfig())
result = tfma.analyze_raw_data(pandas.DataFrame(json.load(sys.stdin)), config)
((_, measured),) = result.slicing_metrics
print("measured:", json.dumps({name: value["doubleValue"] for name, value in measured[""][""].items()}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON, reason="SMOOTH_RECS_TFMA_PYTHON names no Python that has tensorflow-model-analysis")
def test_symmetric_prediction_difference_is_eq_2() -> None:
    rng = np.random.default_rng(4)
    a = rng.uniform(size=400)
    b = np.clip(a * np.exp(rng.normal(0, 0.3, 400)), 0, 0.999)
    a[:2] = b[:1] = 0  # both are 0: no difference; one is 0: 2
    label, weight = (rng.uniform(size=400) < a).astype(float), rng.integers(1, 4, 400).astype(float)
    rows = {"label": label, "weight": weight, "a": a, "b": b}
    done = subprocess.run(
        [PYTHON, "-c", PROGRAM],
        input=json.dumps({name: column.tolist() for name, column in rows.items()}),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (said,) = [line for line in done.stdout.splitlines() if line.startswith("measured: ")]
    theirs = json.loads(said.removeprefix("measured: "))
    ours = {
        "symmetric_prediction_difference_diff": prediction_difference.relative(a, b, weight),
        "flip_rate_diff": prediction_difference.flips(a, b, weight),
        "mean_prediction": np.average(b, weights=weight),
        "calibration": accuracy.calibration(label, b, weight),
    }
    assert {name: theirs[name] for name in ours} == pytest.approx(ours, rel=1e-6)
