from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import config
from smooth_recs.data import feature_statistics
from smooth_recs.data.encoding import Encoder
from smooth_recs.models import from_config
from smooth_recs.schema import Categorical, Numeric, Schema
from smooth_recs.serving import saved_model, saved_signatures

SCHEMA = Schema((
    Categorical("user", "identity", 20, "int64"),
    Categorical("query", "hash", 50),
    Categorical("site", "vocabulary"),
    Categorical("tags", "vocabulary", dtype="int64", max_values=4, combiner="sqrtn"),
    Categorical("words", "hash", 30, max_values=3),
    Numeric("price", "log_standardize", "indicator"),
    Numeric("hour", "identity", "mean"),
))  # fmt: skip


def raw_rows(rows: int, seed: int = 1) -> dict[str, list[Any]]:
    """Plain lists, with values out of vocabulary, missing values and extreme numbers."""
    random = np.random.default_rng(seed)
    return {
        "user": random.integers(-1, 22, rows).tolist(),
        "query": random.choice(["red shoes", "schöne Bücher", "", "x"], rows).tolist(),
        "site": random.choice(["a.org", "b.org", "never seen", ""], rows).tolist(),
        "tags": random.integers(-1, 9, (rows, 4)).tolist(),
        "words": random.choice(["one", "two", ""], (rows, 3)).tolist(),
        "price": random.choice([float("nan"), 0.0, 3.5, 1e30, -7.0], rows).tolist(),
        "hour": random.choice([float("nan"), 0.25], rows).tolist(),
    }


def tensors(rows: dict[str, list[Any]]) -> dict[str, tf.Tensor]:
    types = {f.name: tf.float32 if isinstance(f, Numeric) else tf.as_dtype(f.dtype) for f in SCHEMA.features}
    return {name: tf.constant(values, types[name]) for name, values in rows.items()}


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    seen = tensors(raw_rows(200, seed=2) | {"site": ["a.org", "b.org"] * 100, "tags": [[0, 1, 2, 3]] * 200})
    return Encoder(SCHEMA, feature_statistics.collect(SCHEMA, [seen]))


@pytest.fixture(scope="module")
def model(encoder: Encoder) -> Any:
    """A trained model with every kind of part, dropout and a normalisation with moving statistics included."""
    tf.keras.utils.set_random_seed(1)
    settings = config.Model(
        hidden_units=(16, 8), bottom_units=(4,), interaction="cross", embedding_dim=4, normalization="batch",
        dropout=0.2, linear=True,
    )  # fmt: skip
    model = from_config.ranking_model(settings, encoder)
    train = config.Train(dense_learning_rate=0.05, embedding_learning_rate=0.3, initial_accumulator=0.1)
    model.compile(optimizer=from_config.optimizer(model, train, total_steps=10))
    labels = tf.constant(np.random.default_rng(3).integers(0, 2, 200), tf.float32)
    dataset = tf.data.Dataset.from_tensor_slices((encoder(tensors(raw_rows(200))), labels)).batch(50)
    model.fit(dataset, epochs=3, verbose=0)
    return model


LOAD = """
import json, sys
import tensorflow as tf

path, rows = sys.argv[1], json.load(open(sys.argv[2], encoding="utf-8"))
serve = tf.saved_model.load(path).signatures["serving_default"]
types = {name: spec.dtype for name, spec in serve.structured_input_signature[1].items()}
outputs = [
    serve(**{name: tf.constant(values, types[name]) for name, values in part.items()})["probability"].numpy().tolist()
    for part in rows
]
assert not [name for name in sys.modules if name.startswith(("smooth_recs", "tensorflow_recommenders"))]
json.dump(outputs, open(sys.argv[3], "w"))
"""


@pytest.mark.slow
def test_predicts_the_same_in_a_process_that_knows_only_tensorflow(
    model: Any, encoder: Encoder, tmp_path: Path
) -> None:
    path = saved_model.save(model, encoder, str(tmp_path / "export"))
    parts = [raw_rows(1), raw_rows(1000, seed=5)]
    (tmp_path / "rows.json").write_text(json.dumps(parts), encoding="utf-8")
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "TF_USE_LEGACY_KERAS")}
    subprocess.run(
        [sys.executable, "-c", LOAD, path, "rows.json", "outputs.json"], env=environment, cwd=tmp_path, check=True
    )
    outputs = json.loads((tmp_path / "outputs.json").read_text())
    assert [len(output) for output in outputs] == [1, 1000]
    for rows, output in zip(parts, outputs, strict=True):
        np.testing.assert_allclose(output, model(encoder(tensors(rows)), training=False), rtol=0, atol=1e-6)
    assert np.ptp(outputs[1]) > 0.1


def signature_of(path: str) -> Any:
    loaded = tf.saved_model.load(path)
    serve = loaded.signatures["serving_default"]
    serve.keep = loaded  # the variables live as long as the loaded object
    return serve


@pytest.fixture(scope="module")
def exported(model: Any, encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> str:
    return saved_model.save(model, encoder, str(tmp_path_factory.mktemp("export")))


def test_signature_is_the_raw_features_by_name(exported: str) -> None:
    serve = signature_of(exported)
    inputs = {name: (spec.dtype, spec.shape.as_list()) for name, spec in serve.structured_input_signature[1].items()}
    assert inputs == {
        "user": (tf.int64, [None]),
        "query": (tf.string, [None]),
        "site": (tf.string, [None]),
        "tags": (tf.int64, [None, None]),
        "words": (tf.string, [None, None]),
        "price": (tf.float32, [None]),
        "hour": (tf.float32, [None]),
    }
    assert {n: (o.dtype, o.shape.as_list()) for n, o in serve.structured_outputs.items()} == {
        "probability": (tf.float32, [None])
    }


def test_rows_do_not_depend_on_each_other(exported: str) -> None:
    serve, rows = signature_of(exported), tensors(raw_rows(20))
    together = serve(**rows)["probability"].numpy()
    for row in range(20):
        alone = serve(**{name: column[row : row + 1] for name, column in rows.items()})["probability"]
        np.testing.assert_allclose(alone, together[row : row + 1], atol=1e-6)
    none = serve(**{name: column[:0] for name, column in rows.items()})["probability"]
    assert none.shape == (0,)


def test_clients_may_send_any_number_of_values(exported: str) -> None:
    """Fewer columns than `max_values` are as padding; further ones are dropped, as in training."""
    serve, rows = signature_of(exported), tensors(raw_rows(5))
    rows["words"] = tf.constant([["one", "two", ""]] * 5)
    expected = serve(**rows)["probability"].numpy()
    for words in (["one", "two"], ["one", "two", "", "dropped", "too"]):
        np.testing.assert_allclose(
            serve(**rows | {"words": tf.constant([words] * 5)})["probability"], expected, atol=1e-6
        )


def test_holds_nothing_of_keras(exported: str) -> None:
    assert "saved_model.pb" in os.listdir(exported)
    assert "keras_metadata.pb" not in os.listdir(exported)
    assert os.stat(exported).st_mode & 0o777 == 0o755  # a server of another user must read it


def test_a_later_step_of_training_does_not_reach_an_export(encoder: Encoder, tmp_path: Path) -> None:
    model = small_model(encoder)
    path = saved_model.save(model, encoder, str(tmp_path))
    rows = tensors(raw_rows(3))
    before = model(encoder(rows)).numpy()
    for variable in model.trainable_variables:
        variable.assign_add(tf.ones_like(variable))
    assert not np.allclose(model(encoder(rows)), before, atol=1e-3)
    np.testing.assert_allclose(signature_of(path)(**rows)["probability"], before, atol=1e-6)


def small_model(encoder: Encoder) -> Any:
    model = from_config.ranking_model(config.Model(hidden_units=(4,), embedding_dim=2), encoder)
    model(encoder(tensors(raw_rows(1))))
    return model


class Tiny(tf.keras.Model):  # type: ignore[misc]
    """The least that can be exported."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = tf.Variable(2.0)

    def call(self, features: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        return tf.sigmoid(features["x"][:, 0] * self.weight)


TINY = Encoder(Schema((Numeric("x", "identity", "zero"),)))


def test_versions_count_up(tmp_path: Path) -> None:
    base = str(tmp_path / "deep" / "export")
    paths = [saved_model.save(Tiny(), TINY, base) for _ in range(3)]
    assert paths == [os.path.join(base, version) for version in ("1", "2", "3")]
    assert sorted(os.listdir(base)) == ["1", "2", "3"]


def test_the_next_version_is_above_the_highest(tmp_path: Path) -> None:
    for name in ("9", "10", "2", "notes", ".writing-left-by-a-kill", "11.old"):
        (tmp_path / name).mkdir()
    assert saved_model.save(Tiny(), TINY, str(tmp_path)) == str(tmp_path / "11")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_a_failure_in_the_middle_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: type[BaseException]
) -> None:
    first = saved_model.save(Tiny(), TINY, str(tmp_path))
    files = sorted(path for path in tmp_path.rglob("*"))
    write = tf.saved_model.save

    def half(module: Any, path: str, **settings: Any) -> None:
        write(module, path, **settings)
        os.remove(os.path.join(path, "saved_model.pb"))
        assert sorted(name for name in os.listdir(tmp_path) if name.isdigit()) == ["1"]  # not in sight while written
        raise error("the disk is full")

    monkeypatch.setattr(tf.saved_model, "save", half)
    with pytest.raises(error):
        saved_model.save(Tiny(), TINY, str(tmp_path))
    assert sorted(path for path in tmp_path.rglob("*")) == files
    monkeypatch.undo()
    assert signature_of(first)(x=tf.constant([0.0]))["probability"].numpy() == [0.5]
    assert saved_model.save(Tiny(), TINY, str(tmp_path)) == str(tmp_path / "2")


def test_a_model_that_cannot_be_traced_leaves_nothing(tmp_path: Path) -> None:
    class Broken(Tiny):
        def call(self, features: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
            raise ValueError("no such feature")

    with pytest.raises(ValueError, match="no such feature"):
        saved_model.save(Broken(), TINY, str(tmp_path))
    assert os.listdir(tmp_path) == []


def test_a_version_that_appears_meanwhile_is_not_overwritten(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write = tf.saved_model.save

    def slow(module: Any, path: str, **settings: Any) -> None:
        (tmp_path / "1").mkdir()
        (tmp_path / "1" / "saved_model.pb").write_text("of another process")
        write(module, path, **settings)

    monkeypatch.setattr(tf.saved_model, "save", slow)
    with pytest.raises(OSError, match="not empty"):
        saved_model.save(Tiny(), TINY, str(tmp_path))
    assert os.listdir(tmp_path) == ["1"]
    assert (tmp_path / "1" / "saved_model.pb").read_text() == "of another process"


def test_names_that_a_schema_takes_are_those_of_the_signature(tmp_path):
    names = (
        "args",
        "kwargs",
        "given",
        "name",
        "Training",
        "inputs",
        "user",
        "user_1",
        "probability",
        "match",
        "x_",
        "A1",
    )
    encoder = Encoder(Schema(tuple(Numeric(name, "identity") for name in names)))
    module = tf.Module()
    module.functions = saved_model.signature_functions(encoder, lambda rows: sum(rows.values())[:, 0], None)
    tf.saved_model.save(module, str(tmp_path / "1"), signatures=dict(module.functions))
    assert saved_signatures.read(str(tmp_path / "1"))["serving_default"].inputs.keys() == set(names)
    serve = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    found = serve(**{name: tf.constant([float(2**place)]) for place, name in enumerate(names)})
    assert found["probability"].numpy().tolist() == [2.0 ** len(names) - 1]
