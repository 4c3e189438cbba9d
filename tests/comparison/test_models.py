"""SavedModels and Keras models of both generations predict from raw features what they predict by themselves."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import config
from smooth_recs.artifacts import exports
from smooth_recs.artifacts.exports import Input, SavedModel
from smooth_recs.artifacts.keras_models import KerasModel
from smooth_recs.data.encoding import Encoder
from smooth_recs.errors import InputError
from smooth_recs.models import from_config
from smooth_recs.schema import Categorical, Numeric, Schema
from smooth_recs.serving import saved_model

SCHEMA = Schema((
    Categorical("zone", "identity", 20, "int64"),
    Categorical("query", "hash", 50),
    Categorical("tags", "identity", 9, "int64", max_values=3),
    Numeric("age", "identity"),
))  # fmt: skip
SIGNATURE = Encoder(SCHEMA).raw_signature()


def features(rows: int = 50) -> exports.Columns:
    random = np.random.default_rng(rows)
    return {
        "zone": random.integers(-1, 20, rows),
        "query": random.choice(np.array([b"red shoes", "schön".encode(), b""], object), rows),
        "tags": random.integers(-1, 9, (rows, 3)),
        "age": random.uniform(size=rows).astype(np.float32),
    }


def predicted(model: Any, given: exports.Columns | None = None) -> Any:
    given = features() if given is None else given
    exports.check("--a", model.inputs, SIGNATURE)
    return np.reshape(model.predict(exports.feed("--a", model.inputs, given)), -1)


def saved(path: Path, signature: dict[str, tf.TensorSpec], serve: Any, name: str = "serving_default") -> str:
    module = tf.Module()
    module.serve = tf.function(lambda **x: serve(**x)).get_concrete_function(**signature)
    tf.saved_model.save(module, str(path), signatures={name: module.serve})
    return str(path)


def test_our_export_predicts_what_the_model_does(tmp_path):
    tf.keras.utils.set_random_seed(1)
    encoder = Encoder(SCHEMA)
    model = from_config.ranking_model(config.Model(hidden_units=(8,), embedding_dim=4), encoder)
    expected = model(encoder({name: tf.constant(values) for name, values in features().items()}), training=False)
    for _ in range(2):
        saved_model.save(model, encoder, str(tmp_path / "base"))
    artifact = exports.identify("--a", str(tmp_path / "base"))
    assert artifact == ("--a", str(tmp_path / "base/2"), "export")
    loaded = SavedModel(*artifact[:2])
    np.testing.assert_allclose(predicted(loaded), expected, atol=1e-6)


def test_types_and_shapes_are_those_of_the_model(tmp_path):
    signature = {
        "zone": tf.TensorSpec([None, 1], tf.float32, name="zone"),
        "age": tf.TensorSpec([None], tf.float64, name="age"),
    }
    path = saved(tmp_path / "m", signature, lambda zone, age: {"p": (zone[:, 0] + tf.cast(age, tf.float32)) / 100})
    given = features()
    np.testing.assert_allclose(predicted(SavedModel("--a", path)), (given["zone"] + given["age"]) / 100, rtol=1e-6)


def test_the_named_signature_and_output_or_the_only_one(tmp_path):
    age = {"age": tf.TensorSpec([None], tf.float32, name="age")}
    two = saved(tmp_path / "two", age, lambda age: {"probability": age, "logit": age - 9})
    other = saved(tmp_path / "other", age, lambda age: {"x": age}, name="predict")
    for path in (two, other):
        np.testing.assert_array_equal(predicted(SavedModel("--a", path)), features()["age"])
    unclear = saved(tmp_path / "unclear", age, lambda age: {"x": age, "y": age})
    with pytest.raises(InputError, match=r"unclear must have an output 'probability' or only one, got x, y$"):
        SavedModel("--b", unclear)
    tf.saved_model.save(tf.Module(), str(tmp_path / "none"))
    with pytest.raises(InputError, match=r"none must have a signature 'serving_default' or only one, got none$"):
        SavedModel("--b", str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"users": Input("int64", (None,))}, "'users' is no feature of --config, which has zone, query, tags, age"),
        ({"zone": Input("string", (None,))}, "'zone' is string, the feature int64"),
        ({"query": Input("int64", (None,))}, "'query' is int64, the feature string"),
        ({"age": Input("float32", (None, 4))}, "'age' has shape [n, 4], the feature [n]"),
        ({"tags": Input("int64", (None,))}, "'tags' has shape [n], the feature [n, any]"),
        ({"tags": Input("int64", (None, None, None))}, "'tags' has shape [n, any, any], the feature [n, any]"),
    ],
)
def test_inputs_that_the_features_cannot_give(wanted, words):
    with pytest.raises(InputError, match=f"^{re.escape('--b: the model' + chr(39) + 's input ' + words)}$"):
        exports.check("--b", wanted, SIGNATURE)


@pytest.mark.parametrize(
    ("wanted", "column", "words"),
    [
        (Input("int8", (None,)), [1, 300], "is int8, which cannot hold the feature's 300"),
        (Input("float32", (None,)), [2**24 + 1], "is float32, which cannot hold the feature's 16777217"),
        (Input("int32", (None,)), [1.0, np.nan], "is int32, which cannot hold the feature's nan"),
        (Input("int32", (None,)), [1.5], "is int32, which cannot hold the feature's 1.5"),
        (Input("int64", (None, 4)), [[1, 2, 3]], "takes 4 values a row, the feature has 3"),
    ],
)
def test_a_value_is_never_another_one_for_the_model(wanted, column, words):
    with pytest.raises(InputError, match=f"^{re.escape('--b: the model' + chr(39) + 's input ' + repr('x'))} {words}$"):
        exports.feed("--b", {"x": wanted}, {"x": np.array(column)})


def test_numbers_that_fit_are_converted():
    columns = {"a": np.array([1, -1]), "b": np.array([np.nan, 0.5], np.float32), "c": np.array([2.0, 3.0])}
    wanted = {"a": Input("float32", (None, 1)), "b": Input("float64", (None,)), "c": Input("int32", (None,))}
    fed = exports.feed("--a", wanted, columns)
    assert {name: (values.dtype.name, values.shape) for name, values in fed.items()} == {
        "a": ("float32", (2, 1)), "b": ("float64", (2,)), "c": ("int32", (2,)),
    }  # fmt: skip


def test_folders_and_files_that_are_no_models(tmp_path):
    (tmp_path / "export" / "1").mkdir(parents=True)
    (tmp_path / "export" / "x").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "saved_model.pb").write_bytes(b"\xff\xff")
    (tmp_path / "text.keras").write_text("no zip")
    with zipfile.ZipFile(tmp_path / "empty.keras", "w") as archive:
        archive.writestr("metadata.json", "{}")
    for path, words in (
        ("nowhere", "--a: no such file or folder: "),
        ("export", "--a: the folder holds neither saved_model.pb nor a folder of a version that does: "),
    ):
        with pytest.raises(InputError, match=words):
            exports.identify("--a", str(tmp_path / path))
    with pytest.raises(InputError, match=r"^--a: .*broken is no whole SavedModel: "):
        SavedModel("--a", str(tmp_path / "broken"))
    for name in ("text.keras", "empty.keras"):
        with pytest.raises(InputError, match=rf"^--a: .*{name} is no Keras model: "):
            KerasModel("--a", str(tmp_path / name))


def test_a_fingerprint_is_of_the_contents_not_of_the_place(tmp_path):
    prints = []
    for folder, text in (("a", "x"), ("b", "x"), ("c", "y")):
        (tmp_path / folder / "variables").mkdir(parents=True)
        (tmp_path / folder / "saved_model.pb").write_text("graph")
        (tmp_path / folder / "variables" / "v").write_text(text)
        prints.append(exports.fingerprint(exports.identify("--a", str(tmp_path / folder))))
    assert prints[0] == prints[1] != prints[2]


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
            np.testing.assert_array_equal(predicted(model, {n: v[:7] for n, v in features().items()}), first[:7])
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
