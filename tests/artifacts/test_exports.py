"""Versions, what a path holds, and SavedModels that predict from raw features what their models predict."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from artifact_cases import SCHEMA, SIGNATURE, features, predicted

from smooth_recs import config
from smooth_recs.artifacts import exports
from smooth_recs.artifacts.exports import Input, SavedModel
from smooth_recs.artifacts.keras_models import KerasModel
from smooth_recs.data.encoding import Encoder
from smooth_recs.errors import InputError
from smooth_recs.models import from_config
from smooth_recs.serving import saved_model
from smooth_recs.serving.loader import LoadedModel


def test_numbers_alone_are_versions_and_ten_follows_nine(tmp_path: Path) -> None:
    for name in ("9", "10", "\N{SUPERSCRIPT TWO}", "1a", ".writing-3"):
        (tmp_path / name).mkdir()
    assert exports.versions(str(tmp_path)) == [9, 10]
    assert exports.next_version(str(tmp_path)) == str(tmp_path / "11")
    assert exports.next_version(str(tmp_path / "new")) == str(tmp_path / "new" / "1")


def test_the_newest_is_an_export(tmp_path: Path) -> None:
    assert exports.newest_version(str(tmp_path)) is None
    for name in ("1", "2", "3"):
        (tmp_path / name).mkdir()
    (tmp_path / "2" / exports.SAVED_MODEL).touch()
    assert exports.newest_version(str(tmp_path)) == str(tmp_path / "2")
    assert exports.newest_version(str(tmp_path / "2")) == str(tmp_path / "2")


def test_of_a_workdir_the_newest_export_of_replica_0(tmp_path: Path) -> None:
    workdir = tmp_path / "7"  # a name that could be that of a version
    for name in ("export/replica_0/9", "export/replica_0/10", "export/replica_1/11"):
        (workdir / name).mkdir(parents=True)
        (workdir / name / exports.SAVED_MODEL).touch()
    for path in (workdir, workdir / "export", workdir / "export" / "replica_0"):
        newest = str(workdir / "export" / "replica_0" / "10")
        assert exports.identify("--a", str(path)) == ("--a", newest, exports.EXPORT)
    (tmp_path / "unfinished" / "export").mkdir(parents=True)
    (tmp_path / "unfinished" / "config.json").touch()
    with pytest.raises(
        InputError, match=r"^--a: the run in .*unfinished has no export of replica 0; is it finished\?$"
    ):
        exports.identify("--a", str(tmp_path / "unfinished"))


def saved(path: Path, signature: dict[str, tf.TensorSpec], serve: Any, name: str = "serving_default") -> str:
    module = tf.Module()
    module.serve = tf.function(lambda **x: serve(**x)).get_concrete_function(**signature)
    tf.saved_model.save(module, str(path), signatures={name: module.serve})
    return str(path)


@pytest.mark.parametrize(
    "name", ["x[1]", "a*b", "a\\b", "x.keras", "model.csv", "v1,b", "50% \N{GREEK SMALL LETTER BETA}"]
)
def test_no_name_of_a_folder_stops_an_export(tmp_path: Path, name: str) -> None:
    module = tf.Module()
    module.variable = tf.Variable(0.25)  # has to be restored
    module.serve = tf.function(
        lambda x: {"probability": module.variable + 0.0 * x}, input_signature=[tf.TensorSpec([None], name="x")]
    )
    tf.saved_model.save(module, str(tmp_path / name / "1"), signatures={"serving_default": module.serve})
    artifact = exports.identify("--a", str(tmp_path / name))
    assert artifact == ("--a", str(tmp_path / name / "1"), exports.EXPORT)
    assert SavedModel(*artifact[:2]).predict({"x": np.zeros(1, np.float32)}).tolist() == [0.25]
    with LoadedModel(artifact.path) as model:
        assert model.run("serving_default", {"x": np.zeros(1, np.float32)})["probability"].tolist() == [0.25]


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
        exports.check_inputs("--b", wanted, SIGNATURE)


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
        exports.as_inputs("--b", {"x": wanted}, {"x": np.array(column)})


def test_numbers_that_fit_are_converted():
    columns = {"a": np.array([1, -1]), "b": np.array([np.nan, 0.5], np.float32), "c": np.array([2.0, 3.0])}
    wanted = {"a": Input("float32", (None, 1)), "b": Input("float64", (None,)), "c": Input("int32", (None,))}
    fed = exports.as_inputs("--a", wanted, columns)
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


@pytest.mark.parametrize("name", ["predictions.txt", "model.h5", "x.json"])
def test_a_file_of_another_kind(tmp_path, name):
    (tmp_path / name).touch()
    kinds = re.escape(".csv, .csv.gz, .tfrecord, .tfrecord.gz, .parquet")
    with pytest.raises(
        InputError, match=rf"^--a must be a SavedModel, a \.keras file or predictions \({kinds}\), got "
    ):
        exports.identify("--a", str(tmp_path / name))
