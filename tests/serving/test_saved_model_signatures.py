"""The signatures of an export in TensorFlow's C++ runtime: what they take, what they refuse, what they answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import config
from smooth_recs.data.encoding import Encoder
from smooth_recs.models import from_config
from smooth_recs.schema import Categorical, Numeric, Schema
from smooth_recs.serving import requests, saved_model, saved_signatures
from smooth_recs.serving.loader import LoadedModel, LoaderError

SCHEMA = Schema((
    Categorical("user", "hash", 50, "int64"),
    Categorical("query", "hash", 50),
    Categorical("tags", "identity", 9, "int64", max_values=3),
    Categorical("words", "hash", 30, max_values=2),
    Numeric("price", "log", "indicator"),
))  # fmt: skip
ENCODER = Encoder(SCHEMA)
FULL: dict[str, list[Any]] = {
    "user": [2**40 + 1],
    "query": [b"\xff red"],
    "tags": [1, 8],
    "words": [b"a"],
    "price": [2.5],
}
RAW = {
    "user": np.array([2**40 + 1, -1, 3]),
    "query": np.array([b"\xff red", b"", b"b"], object),
    "tags": np.array([[1, 8, -1], [-1, -1, -1], [0, 1, 2]]),
    "words": np.array([[b"a", b""], [b"", b""], [b"c", b"d"]], object),
    "price": np.array([2.5, np.nan, np.inf], np.float32),
}


@pytest.fixture(scope="module")
def model() -> Any:
    tf.keras.utils.set_random_seed(1)
    model = from_config.ranking_model(config.Model(hidden_units=(8, 4), embedding_dim=4), ENCODER)
    model(ENCODER(RAW))
    model.embeddings.embeddings.assign(tf.random.normal(model.embeddings.embeddings.shape, seed=1))
    return model


@pytest.fixture(scope="module")
def path(model: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    return saved_model.save(model, ENCODER, str(tmp_path_factory.mktemp("export")))


@pytest.fixture(scope="module")
def loaded(path: str) -> Iterator[LoadedModel]:
    with LoadedModel(path) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def expected(model: Any) -> Any:
    probabilities = model(ENCODER(RAW), training=False).numpy()
    assert np.ptp(probabilities) > 0.01
    return probabilities


def example(**values: list[Any]) -> bytes:
    """A serialized tf.Example: one list of values a feature, of the type of the first of them."""
    kinds = {int: "int64_list", float: "float_list", bytes: "bytes_list"}
    types = {"user": int, "tags": int, "price": float}
    message = tf.train.Example()
    for name, each in values.items():
        kind = kinds[type(each[0]) if each else types.get(name, bytes)]
        getattr(message.features.feature[name], kind).value.extend(each)
        getattr(message.features.feature[name], kind).SetInParent()
    return message.SerializeToString()


def test_every_signature_is_there_with_its_method(path: str) -> None:
    found = saved_signatures.read(path)
    saved_signatures.check_signatures(SCHEMA, found)
    assert {name: signature.method_name for name, signature in found.items()} == {
        "serving_default": "tensorflow/serving/predict",
        "serving_examples": "tensorflow/serving/predict",
        "logits": "tensorflow/serving/predict",
        "classify": "tensorflow/serving/classify",
        "regress": "tensorflow/serving/regress",
    }


def test_raw_features(loaded: LoadedModel, expected: Any) -> None:
    np.testing.assert_allclose(loaded.run("serving_default", RAW)["probability"], expected, rtol=0, atol=1e-6)
    logits = loaded.run("logits", RAW)["logit"].astype(np.float64)
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), expected, rtol=0, atol=1e-6)


def test_examples(loaded: LoadedModel, expected: Any) -> None:
    examples = requests.serialized_examples(SCHEMA, RAW)
    found = loaded.run("serving_examples", {"examples": examples})["probability"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(loaded.run("regress", {"inputs": examples})["outputs"], found)
    answer = loaded.run("classify", {"inputs": examples})
    assert answer["classes"].tolist() == [[b"0", b"1"]] * 3
    np.testing.assert_allclose(answer["scores"], np.stack([1 - found, found], axis=1), rtol=0, atol=1e-7)


def test_what_an_example_lacks_is_missing(loaded: LoadedModel, expected: Any) -> None:
    empty = {name: [] for name in RAW}
    marked = {"user": [-1], "query": [b""], "tags": [-1, -1], "words": [], "price": [float("nan")]}
    examples = [b"", example(**empty), example(**marked), example(**FULL), example(**FULL, label=[1], other=[b"x"])]
    found = loaded.run("serving_examples", {"examples": examples})["probability"]
    np.testing.assert_allclose(found, expected[[1, 1, 1, 0, 0]], rtol=0, atol=1e-6)
    for number in range(5):  # a batch may have no value of a feature at all
        alone = loaded.run("serving_examples", {"examples": examples[number : number + 1]})["probability"]
        np.testing.assert_allclose(alone, found[number : number + 1], rtol=0, atol=1e-6)


def test_further_values_of_an_example_are_dropped_where_several_are_allowed(loaded: LoadedModel, expected: Any) -> None:
    many = FULL | {"tags": [0, 1, 2, 5, 6], "words": [b"c", b"d", b"e"], "query": [b"b"], "user": [3]}
    one = loaded.run("serving_examples", {"examples": [example(**many)]})["probability"]
    raw = {name: values[2:] for name, values in RAW.items()} | {"price": np.array([2.5], np.float32)}
    np.testing.assert_allclose(one, loaded.run("serving_default", raw)["probability"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("signature", ["serving_examples", "classify", "regress"])
@pytest.mark.parametrize(
    "change", [{"user": [1, 2]}, {"query": [b"a", b"b"]}, {"price": [1.0, 2.0]}, {"price": [1]}, {"tags": [b"1"]}]
)
def test_an_example_of_another_type_or_width_is_refused(
    loaded: LoadedModel, signature: str, change: dict[str, Any]
) -> None:
    examples = [example(**FULL), example(**FULL | change)]
    with pytest.raises(LoaderError):
        loaded.run(signature, {saved_signatures.OF_EXAMPLES[signature]: examples})


@pytest.mark.parametrize("signature", ["serving_default", "logits"])
@pytest.mark.parametrize("name", RAW)
def test_an_input_of_another_shape_is_refused(loaded: LoadedModel, signature: str, name: str) -> None:
    values = RAW[name]
    shapes = [values[0], values[:, np.newaxis], values[:2]]
    for wrong in shapes:
        with pytest.raises(LoaderError):
            loaded.run(signature, RAW | {name: np.asarray(wrong)})


def test_no_rows(loaded: LoadedModel) -> None:
    none = {name: values[:0] for name, values in RAW.items()}
    assert loaded.run("serving_default", none)["probability"].shape == (0,)
    assert loaded.run("logits", none)["logit"].shape == (0,)
    assert loaded.run("classify", {"inputs": np.array([], object)})["scores"].shape == (0, 2)


def test_a_model_without_logits_has_no_such_signature(tmp_path: Any) -> None:
    class Tiny(tf.keras.Model):  # type: ignore[misc]
        def call(self, features: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
            return tf.sigmoid(features["x"][:, 0])

    path = saved_model.save(Tiny(), Encoder(Schema((Numeric("x", "identity", "zero"),))), str(tmp_path))
    with LoadedModel(path) as loaded:
        assert sorted(loaded.signatures) == ["classify", "regress", "serving_default", "serving_examples"]
        assert loaded.run("regress", {"inputs": [example(x=[0.0])]})["outputs"].tolist() == [0.5]
