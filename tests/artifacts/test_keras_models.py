"""Keras models of both generations predict from raw features what they predict by themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from artifact_cases import features, predicted

from smooth_recs.artifacts import exports
from smooth_recs.artifacts.exports import SavedModel
from smooth_recs.artifacts.keras_models import KerasModel
from smooth_recs.errors import InputError

SAVE = """
import sys, numpy as np, tensorflow as tf
import smooth_recs as sr
K, folder = tf.keras, sys.argv[1]
given = dict(np.load(f"{folder}/features.npz"))
given = {n: tf.constant(v.tolist() if v.dtype.kind == "S" else v) for n, v in given.items()}
given["age"] = given["age"][:, None]

K.utils.set_random_seed(int(sys.argv[2]))
zone, age = K.Input((), name="zone", dtype="int64"), K.Input((1,), name="age")
query, tags = K.Input((), name="query", dtype="string"), K.Input((3,), name="tags", dtype="int64")
parts = [K.layers.Embedding(21, 4)(zone + 1), age, K.layers.Embedding(50, 3)(K.layers.Hashing(50)(query))]
parts.append(K.layers.GlobalAveragePooling1D()(K.layers.Embedding(11, 2)(tags + 1)))
x = K.layers.Concatenate()(parts)
x = sr.layers.NormalizedDense(8, activation="smelu")(x)
x = K.layers.Dense(8, activation=sr.layers.SmeLU(beta=0.5), kernel_constraint=sr.constraints.RowNorm(1.0))(x)
output = K.layers.Dense(1, activation="sigmoid")(x)
named = dict(zone=zone, query=query, tags=tags, age=age)
for kind, structure in dict(list=[zone, tags, query, age], dict=named).items():
    model = K.Model(structure, output)
    model.save(f"{folder}/{kind}.keras")
    if kind == "list" and len(sys.argv) > 3:
        model.save(f"{folder}/saved", save_format="tf")
    right = [given[t.name] for t in structure] if kind == "list" else given
    np.save(f"{folder}/{kind}.npy", model(right, training=False))
"""


@pytest.fixture(scope="module", params=["2", "3"])
def keras_folder(request, tmp_path_factory):
    """Models of one generation of Keras, saved by a process of that generation, and what they predict there."""
    folder = tmp_path_factory.mktemp(f"keras_{request.param}")
    np.savez(folder / "features.npz", **{n: v.astype("S") if v.dtype == object else v for n, v in features().items()})
    arguments = [str(folder), request.param, *(["saved"] if request.param == "2" else [])]
    environment = os.environ | {"TF_USE_LEGACY_KERAS": str(int(request.param == "2")), "PYTHONPATH": os.getcwd()}
    command = [sys.executable, "-c", SAVE, *arguments]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return folder


@pytest.mark.slow
def test_keras_models_of_both_generations(keras_folder):
    version = json.loads(zipfile.ZipFile(keras_folder / "list.keras").read("metadata.json"))["keras_version"]
    assert keras_folder.name.startswith(f"keras_{version[0]}")
    for kind in ("list", "dict"):
        artifact = exports.identify("--a", str(keras_folder / f"{kind}.keras"))
        assert artifact.kind == "keras"
        model = KerasModel(*artifact[:2])
        try:
            assert model.inputs is not None
            assert model.inputs["zone"] == ("int64", (None,))
            assert model.inputs["age"] == ("float32", (None, 1))
            first = predicted(model)
            np.testing.assert_allclose(first, np.load(keras_folder / f"{kind}.npy")[:, 0], atol=1e-6)
            assert np.ptp(first) > 0.01
            # A kernel for another batch size adds in another order: equal up to the rounding of float32.
            fewer = predicted(model, {n: v[:7] for n, v in features().items()})
            np.testing.assert_allclose(fewer, first[:7], rtol=1e-6)
        finally:
            model.close()


@pytest.mark.slow
def test_a_keras_2_folder_needs_no_keras(keras_folder):
    if not (keras_folder / "saved").exists():
        pytest.skip("Keras 3 has no such folders")
    artifact = exports.identify("--b", str(keras_folder / "saved"))
    assert artifact.kind == "export"
    expected = np.load(keras_folder / "list.npy")[:, 0]
    np.testing.assert_allclose(predicted(SavedModel(*artifact[:2])), expected, atol=1e-6)


CUSTOM = """
import sys, tensorflow as tf
K = tf.keras
lam = K.Sequential([K.Input((1,), name="age"), K.layers.Lambda(lambda x: x)])
lam.save(f"{sys.argv[1]}/lambda.keras")
x = K.Input((1,), name="age")
K.Model(x, [x, x + 1]).save(f"{sys.argv[1]}/two.keras")
"""


@pytest.mark.slow
def test_a_keras_model_that_cannot_be_run_is_one_line(tmp_path):
    environment = os.environ | {"TF_USE_LEGACY_KERAS": "0"}
    subprocess.run([sys.executable, "-c", CUSTOM, str(tmp_path)], env=environment, check=True, capture_output=True)
    with pytest.raises(InputError, match=r"^--a: .*lambda\.keras cannot be loaded: .*[Ll]ambda"):
        KerasModel("--a", str(tmp_path / "lambda.keras"))
    two = KerasModel("--a", str(tmp_path / "two.keras"))
    with pytest.raises(InputError, match=r"two\.keras fails on the rows of --config: .*must have one output, got 2$"):
        predicted(two)
