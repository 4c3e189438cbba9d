"""Batches of raw rows that break careless models, and requests that keep every value on their way to a server."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import request_bodies
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_serving.apis import predict_pb2

from smooth_recs.schema import Categorical, Numeric, Schema
from smooth_recs.serving import requests
from smooth_recs.serving.loader_process import Request

NARROW = Schema((Categorical("item", "hash", 40, "int64"), Categorical("words", "hash", 9, max_values=2), Numeric("x")))


def test_hard_rows_change_one_feature_and_then_all() -> None:
    row = {
        "item": np.array([3]),
        "words": np.array([[b"one", b"two"]], object),
        "x": np.array([0.5], np.float32),
    }
    hard = requests.hard_rows(NARROW, row)
    assert len(hard.words) == requests.row_count(hard.batch)
    number = hard.words.index("item=2147483653")
    assert hard.batch["item"][number] == 2**31 + 5
    assert hard.batch["x"][number] == row["x"][0]
    number = hard.words.index(r"words=b'\xff\xfe\x80'")
    assert hard.batch["words"][number].tolist() == [b"\xff\xfe\x80", b""]
    assert hard.words[-1].count("=") == 3
    assert row["item"].tolist() == [3]


def test_examples_hold_what_is_there() -> None:
    batch = {
        "item": np.array([2**40, -1]),
        "words": np.array([[b"", b"\xff"], [b"", b""]], object),
        "x": np.array([np.inf, np.nan], np.float32),
    }
    first, second = (
        tf.train.Example.FromString(each).features.feature for each in requests.serialized_examples(NARROW, batch)
    )
    assert first["item"].int64_list.value == [2**40]
    assert first["words"].bytes_list.value == [b"", b"\xff"]
    assert first["x"].float_list.value == [np.inf]
    shops = Schema((Categorical("shop", "hash", 9),))
    serialized = requests.serialized_examples(shops, {"shop": np.array([b"ends in zero\x00"], object)})[0]
    assert tf.train.Example.FromString(serialized).features.feature["shop"].bytes_list.value == [b"ends in zero\x00"]
    assert not second


ROWS = st.lists(
    st.tuples(
        st.integers(-(2**63), 2**63 - 1),
        st.floats(width=32),
        st.binary(max_size=6),
        st.tuples(st.binary(max_size=3), st.text(max_size=2)),
    ),
    min_size=1,
    max_size=4,
)
SIGNATURE = {"id": ("int64", ()), "x": ("float32", ()), "text": ("string", ()), "texts": ("string", ())}


@given(ROWS)
@settings(max_examples=80, deadline=None)
def test_both_kinds_of_requests_keep_every_value(rows: list[Any]) -> None:
    ids, numbers, texts, several = zip(*rows, strict=True)
    batch = {
        "id": np.array(ids, np.int64),
        "x": np.array(numbers, np.float32),
        "text": np.array(texts, object),
        "texts": np.array([(first, second.encode()) for first, second in several], object),
    }
    request = Request("serving_default", batch)
    message = predict_pb2.PredictRequest.FromString(requests.predict(request, "ranker").SerializeToString())
    assert message.model_spec.name == "ranker"
    for same in (requests.inputs_of(message), request_bodies.from_json(requests.rest_body(request), SIGNATURE)):
        assert same.keys() == batch.keys()
        for name, values in batch.items():
            assert (same[name].dtype, same[name].shape) == (values.dtype, values.shape)
            np.testing.assert_array_equal(same[name], values)


def test_another_signature_is_named_in_the_body() -> None:
    body = requests.rest_body(Request("logits", {"x": np.array([0.5], np.float32)}))
    assert json.loads(body) == {"signature_name": "logits", "instances": [{"x": 0.5}]}
