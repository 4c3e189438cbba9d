"""The checks of exports: a good one passes, and each fault that an export may have is found and named."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
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
from smooth_recs.serving import checks, loader_process, requests, saved_model
from smooth_recs.serving.checks import Passed
from smooth_recs.serving.saved_signatures import CheckFailed

WIDE = Schema((
    Categorical("user", "identity", 20, "int64"),
    Categorical("query", "hash", 50),
    Categorical("site", "vocabulary"),
    Categorical("tags", "vocabulary", dtype="int64", max_values=4, combiner="sqrtn"),
    Categorical("words", "hash", 30, max_values=3),
    Numeric("price", "log_standardize", "indicator"),
    Numeric("hour", "identity", "mean"),
))  # fmt: skip
NARROW = Schema((Categorical("item", "hash", 40, "int64"), Categorical("words", "hash", 9, max_values=2), Numeric("x")))


def wide_rows(rows: int) -> dict[str, Any]:
    random = np.random.default_rng(1)
    return {
        "user": random.integers(-1, 22, rows),
        "query": random.choice(np.array([b"red shoes", b"", b"x"], object), rows),
        "site": random.choice(np.array([b"a.org", b"b.org", b""], object), rows),
        "tags": random.integers(-1, 9, (rows, 4)),
        "words": random.choice(np.array([b"one", b"two", b""], object), (rows, 3)),
        "price": random.choice([np.nan, 0.0, 3.5, -2.0], rows).astype(np.float32),
        "hour": random.uniform(0, 24, rows).astype(np.float32),
    }


@pytest.mark.slow
@pytest.mark.parametrize("normalization", ["weight", "layer"])
def test_an_export_of_every_kind_of_feature_passes_in_a_process_of_its_own(normalization: str, tmp_path: Path) -> None:
    rows = wide_rows(1_000)
    encoder = Encoder(WIDE, feature_statistics.collect(WIDE, iter([rows])))
    tf.keras.utils.set_random_seed(2)
    model = from_config.ranking_model(
        config.Model(hidden_units=(8, 4), embedding_dim=4, normalization=normalization), encoder
    )
    model(encoder(requests.take(rows, slice(2))))  # makes the variables
    path = saved_model.save(model, encoder, str(tmp_path))
    passed = checks.check(path, WIDE, rows, lambda raw: model(encoder(raw), training=False))
    assert passed.checks >= 34
    assert 0 <= passed.largest_difference <= 1e-6
    assert 0 < passed.load_seconds < 60


# From here on models of three features, run by the process's own code but in this process, which is faster.


def rows() -> dict[str, Any]:
    random = np.random.default_rng(2)
    words = random.choice(np.array([b"one", b"two", b""], object), (1_000, 2))
    return {
        "item": random.integers(0, 9, 1_000),
        "words": words,
        "x": random.normal(size=1_000).astype(np.float32),
    }


SPECS = {
    "item": tf.TensorSpec([None], tf.int64, name="item"),
    "words": tf.TensorSpec([None, None], tf.string, name="words"),
    "x": tf.TensorSpec([None], tf.float32, name="x"),
}
TEXTS = tf.TensorSpec([None], tf.string)
Serve = Callable[..., Any]


def logit(item: Any, words: Any, x: Any) -> Any:
    """The good model, which knows that a shape can be wrong."""
    item, x = tf.ensure_shape(item, [None]), tf.ensure_shape(x, [None])
    words = tf.ensure_shape(words, [None, None])[:, :2]
    tf.debugging.assert_equal(tf.shape(item), tf.shape(x))
    tf.debugging.assert_equal(tf.shape(item)[0], tf.shape(words)[0])
    known = tf.strings.to_hash_bucket_fast(tf.strings.as_string(item), 40)
    missing = tf.equal(words, "")
    hashed = tf.where(missing, tf.constant(0, tf.int64), tf.strings.to_hash_bucket_fast(words, 9))
    number = tf.clip_by_value(tf.where(tf.math.is_nan(x), 0.0, x), -5.0, 5.0)
    return 0.02 * tf.cast(known, tf.float32) + 0.1 * tf.cast(tf.reduce_sum(hashed, 1), tf.float32) - 0.3 * number


def predict(raw: dict[str, Any]) -> Any:
    tensors = {name: tf.constant(values, SPECS[name].dtype) for name, values in raw.items()}
    return tf.sigmoid(logit(**tensors)).numpy()


def save(path: Path, serve: Serve, specs: dict[str, Any] = SPECS, **others: Any) -> str:
    """`serve`: the raw features to the outputs; `others`: further signatures, as (function, input specs)."""
    module = tf.Module()
    functions = {"serving_default": (serve, specs), "serving_examples": of_examples(serve)} | others
    signatures = {
        name: tf.function(function, autograph=False).get_concrete_function(**inputs)
        for name, (function, inputs) in functions.items()
    }
    module.signatures_ = signatures
    tf.saved_model.save(module, str(path), signatures=signatures)
    return str(path)


def good(**raw: Any) -> dict[str, Any]:
    return {"probability": tf.sigmoid(logit(**raw))}


def parsed(examples: Any) -> dict[str, Any]:
    spec = {
        "item": tf.io.FixedLenFeature([], tf.int64, default_value=-1),
        "x": tf.io.FixedLenFeature([], tf.float32, default_value=float("nan")),
        "words": tf.io.RaggedFeature(tf.string),
    }
    found = tf.io.parse_example(tf.ensure_shape(examples, [None]), spec)
    return found | {"words": found["words"].to_tensor("", shape=[None, 2])}


def of_examples(serve: Serve) -> tuple[Serve, dict[str, Any]]:
    return lambda examples: serve(**parsed(examples)), {"examples": TEXTS}


@pytest.fixture(autouse=True)
def in_this_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **_: Any) -> Any:
        loader_process.main(*command[3:])
        return subprocess.CompletedProcess(command, 0, b"", b"")

    if "slow" not in request.keywords:
        monkeypatch.setattr(loader_process.subprocess, "run", run)


def checked(path: str) -> Passed:
    return checks.check(path, NARROW, rows(), predict)


def failing(path: str) -> str:
    with pytest.raises(CheckFailed) as error:
        checked(path)
    said = str(error.value)
    assert said.startswith("check failed: ")
    assert "\n" not in said
    return said.removeprefix("check failed: ")


def test_a_good_export_passes_through_every_signature(tmp_path: Path) -> None:
    alone = checked(save(tmp_path / "alone", good))
    passed = checked(
        save(
            tmp_path / "all",
            good,
            logits=(lambda **raw: {"logit": logit(**raw)}, SPECS),
        )
    )
    assert passed.largest_difference <= 1e-6
    assert passed.checks > 1.5 * alone.checks


def altered(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Serve:
    """The good model on raw features that were changed in a way that is easily overlooked."""
    return lambda **raw: good(**(raw | change(raw)))


def unguarded(item: Any, words: Any, x: Any) -> dict[str, Any]:
    """The good model with a shape that is declared and not asserted: a session takes any."""
    item, words = tf.ensure_shape(item, [None]), tf.ensure_shape(words, [None, None])
    x = tf.reshape(x, [-1])[: tf.size(item)]
    return good(item=item, words=words, x=x)


def broadcast(item: Any, words: Any, x: Any) -> dict[str, Any]:
    many = tf.zeros_like(item, tf.float32)
    return good(item=item, words=words, x=tf.ensure_shape(x, [None]) + many)


FAULTS: dict[str, tuple[Serve, str]] = {
    "a little off": (
        lambda **raw: {"probability": good(**raw)["probability"] + 2e-6},
        r"serving_default, a batch of 1: for row 0 the export predicts 0\.\d+, the trained model 0\.\d+: "
        r"(1\.9|2|2\.0)\d*e-06 apart, more than 1e-06, as are 1 of 1 rows$",
    ),
    "ids of 32 bits": (
        altered(lambda raw: {"item": tf.cast(tf.cast(raw["item"], tf.int32), tf.int64)}),
        r"serving_default, hard values: for item=\d{10,} the export .* apart, more than 1e-06",
    ),
    "NaN goes through": (
        lambda **raw: {"probability": good(**raw)["probability"] + tf.where(tf.math.is_nan(raw["x"]), raw["x"], 0.0)},
        r"serving_default, hard values: for x=nan the export predicts nan, .*: nan apart",
    ),
    "infinity is missing": (
        altered(lambda raw: {"x": tf.where(tf.math.is_inf(raw["x"]), 0.0, raw["x"])}),
        r"serving_default, hard values: for x=-?inf ",
    ),
    "text that is no UTF-8": (
        altered(lambda raw: {"words": tf.strings.unicode_transcode(raw["words"], "UTF-8", "UTF-8")}),
        r"serving_default, hard values: for words=b'\\xff\\xfe\\x80' ",
    ),
    "an unpadded row": (
        altered(lambda raw: {"words": tf.reshape(raw["words"], [-1, 2])}),
        r"serving_default, 0 values of words: refused: ",
    ),
    "rows depend on each other": (
        altered(lambda raw: {"x": raw["x"] - tf.reduce_mean(raw["x"])}),
        r"serving_default, a batch of 1: ",
    ),
    "the last row first": (
        lambda **raw: {"probability": tf.sort(good(**raw)["probability"])},
        r"serving_default, a batch of (2|1,000): ",
    ),
    "any shape": (unguarded, r"serving_default, x of shape \[3, 2\]: must be refused, and was not"),
    "one row for all": (broadcast, r"serving_default, x of 1 row beside others of 3: must be refused, and was not"),
    "two dimensions": (
        lambda **raw: {"probability": good(**raw)["probability"][:, None]},
        r"serving_default must have probability float32 \[\?\], got float32 \[\?, 1\]",
    ),
    "another name": (lambda **raw: {"output_0": good(**raw)["probability"]}, "serving_default must have probability "),
    "one output more": (
        lambda **raw: good(**raw) | {"logit": logit(**raw)},
        "serving_default must not have outputs logit",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named(fault: str, tmp_path: Path) -> None:
    serve, words = FAULTS[fault]
    assert re.match(words, failing(save(tmp_path / "1", serve)))


def test_ids_as_floats_are_another_signature(tmp_path: Path) -> None:
    """What a Keras 3 export makes of a dictionary of inputs."""
    specs = SPECS | {"item": tf.TensorSpec([None], tf.float32, name="item")}
    path = save(tmp_path / "1", altered(lambda raw: {"item": tf.cast(raw["item"], tf.int64)}), specs)
    assert failing(path) == "serving_default must have item int64 [?], got float32 [?]"


def logits_off(**raw: Any) -> dict[str, Any]:
    return {"logit": logit(**raw) + 1e-3}


def first_word_only(examples: Any) -> dict[str, Any]:
    found = parsed(examples)
    return good(**found | {"words": found["words"][:, :1]})


def forgiving(examples: Any) -> dict[str, Any]:
    """Takes what is no tf.Example as an empty one."""
    examples = tf.where(tf.equal(examples, b"\xff\xff"), "", examples)
    return good(**parsed(examples))


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "logits": ({"logits": (logits_off, SPECS)}, r"logits, a batch of 1: for row 0 .* more than 1e-06"),
    "examples": (
        {"serving_examples": (first_word_only, {"examples": TEXTS})},
        r"serving_examples, a batch of (1|2|1,000): ",
    ),
    "damaged examples": (
        {"serving_examples": (forgiving, {"examples": TEXTS})},
        r"serving_examples, what is no tf\.Example: must be refused",
    ),
    "classify as predict": (
        {
            "classify": (
                lambda inputs: {
                    "scores": tf.zeros([tf.size(inputs), 2]),
                    "classes": tf.fill([tf.size(inputs), 2], ""),
                },
                {"inputs": TEXTS},
            )
        },
        r"the method of classify must be classify, got 'predict'",
    ),
}


def test_a_trained_model_that_predicts_nan_is_told_from_its_export(tmp_path: Path) -> None:
    def spoiled(raw: dict[str, Any]) -> Any:
        return np.where(np.isnan(raw["x"]), np.nan, predict(raw))

    path = save(tmp_path / "1", FAULTS["NaN goes through"][0])
    with pytest.raises(CheckFailed, match=r"hard values: for x=nan the trained model itself predicts nan$"):
        checks.check(path, NARROW, rows(), spoiled)


def test_an_export_must_take_examples(tmp_path: Path) -> None:
    path = save(tmp_path / "1", good, serving_examples=(good, SPECS))
    assert failing(path) == "serving_examples must have examples string [?], got none"
    signatures = {"serving_default": tf.function(good).get_concrete_function(**SPECS)}
    tf.saved_model.save(tf.Module(), path, signatures=signatures)
    assert failing(path) == "the export must have the signature serving_examples"


@pytest.mark.parametrize("fault", OTHERS)
def test_a_fault_of_another_signature_is_named(fault: str, tmp_path: Path) -> None:
    others, words = OTHERS[fault]
    assert re.match(words, failing(save(tmp_path / "1", good, **others)))


def test_what_xla_must_compile_is_refused(tmp_path: Path) -> None:
    compiled = tf.function(lambda p: p * 1.0, jit_compile=True)
    path = save(tmp_path / "1", lambda **raw: {"probability": compiled(good(**raw)["probability"])})
    assert failing(path).endswith(" must be compiled by XLA")


def test_a_damaged_export_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "1", good)
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"\xff\xff")
    assert failing(path).startswith("loading the export: ")


@pytest.mark.slow
def test_a_model_that_needs_python_fails_where_there_is_none(tmp_path: Path) -> None:
    def serve(**raw: Any) -> dict[str, Any]:
        probability = tf.py_function(lambda p: p, [good(**raw)["probability"]], tf.float32)
        return {"probability": tf.ensure_shape(probability, [None])}

    assert failing(save(tmp_path / "1", serve)).startswith("serving_default, a batch of 1: refused: ")
