"""Raw rows to ids and floats, in every place where the encoder runs."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs.data import encoding
from smooth_recs.data.encoding import Encoder, Encoding
from smooth_recs.data.feature_statistics import Statistics
from smooth_recs.errors import InputError
from smooth_recs.schema import Categorical, Numeric, Schema

LARGEST = float(np.float32(1e12))
SCHEMA = Schema(
    (
        Categorical("slot", "identity", size=3, dtype="int64"),
        Categorical("user", "hash", size=1000, dtype="int64"),
        Categorical("word", "vocabulary"),
        Categorical("tags", "vocabulary", dtype="int64", max_values=3),
        Categorical("empty", "vocabulary"),
        Numeric("price", "log_standardize", "indicator"),
        Numeric("age", "standardize", "mean"),
        Numeric("raw", "identity", "mean"),
    )
)
STATISTICS = Statistics(
    {"word": (b"caf\xe9", b"tea"), "tags": (2**40, 7), "empty": ()},
    {"price": (0.5, 2.0), "age": (30.0, 10.0), "raw": (4.0, 1.0)},
)
RAW = {
    "slot": np.array([0, 2, 3, -1, -7]),
    "user": np.array([0, 2**31, 2**31 + 1, -1, 12]),
    "word": np.array([b"tea", b"caf\xe9", b"milk", b"", b"tea"], object),
    "tags": np.array([[7, 2**40, -1], [-1, -1, -1], [8, 7, 7], [7, -1, 7], [-1, 7, -1]]),
    "empty": np.array([b"a", b"", b"b", b"", b"c"], object),
    "price": np.array([0.0, np.e - 1, np.nan, np.inf, -np.inf], np.float32),
    "age": np.array([30.0, 50.0, np.nan, np.inf, 25.0], np.float32),
    "raw": np.array([1.0, np.nan, np.inf, -np.inf, 2.0], np.float32),
}


@pytest.fixture(scope="module")
def encoder():
    return Encoder(SCHEMA, STATISTICS)


def as_numpy(encoded):
    return {name: tensor.numpy() for name, tensor in encoded.items()}


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_ids_by_hand(encoder):
    ids = as_numpy(encoder(RAW))
    assert ids["slot"].tolist() == [0, 2, 3, 4, 3]  # 3 is out of vocabulary, 4 missing
    assert ids["word"].tolist() == [1, 0, 2, 3, 1]
    assert ids["tags"].tolist() == [[1, 0, -1], [-1, -1, -1], [2, 1, 1], [1, -1, 1], [-1, 1, -1]]
    assert ids["empty"].tolist() == [0, 1, 0, 1, 0]
    assert {f.name: encoder.table_rows(f) for f in SCHEMA.categorical} == {
        "slot": 5,
        "user": 1002,
        "word": 4,
        "tags": 4,
        "empty": 2,
    }


def test_hashing_tells_large_ids_apart_and_agrees_with_their_text(encoder):
    ids = as_numpy(encoder(RAW))["user"]
    text = Encoder(Schema((Categorical("user", "hash", size=1000),)))
    as_text = text({"user": np.array([b"0", b"2147483648", b"2147483649", b"", b"12"], object)})["user"].numpy()
    assert ids.tolist() == as_text.tolist()
    assert ids[3] == 1001
    assert len(set(ids.tolist())) == 5
    assert ids[[0, 1, 2, 4]].max() < 1000


def test_numbers_by_hand(encoder):
    numbers = as_numpy(encoder(RAW))
    log_largest = np.log(LARGEST)
    np.testing.assert_allclose(
        numbers["price"],
        [[-0.25, 0], [0.25, 0], [0, 1], [(log_largest - 0.5) / 2, 0], [(-log_largest - 0.5) / 2, 0]],
        rtol=1e-6,
    )
    np.testing.assert_allclose(numbers["age"], [[0], [2], [0], [LARGEST / 10], [-0.5]], rtol=1e-6)
    np.testing.assert_allclose(numbers["raw"], [[1], [4], [LARGEST], [-LARGEST], [2]])


def test_infinities_stay_finite_even_when_divided_by_a_small_deviation():
    encoder = Encoder(Schema((Numeric("x"),)), Statistics({}, {"x": (-5.0, 1e-3)}))
    values = encoder({"x": np.array([np.inf, -np.inf, np.nan], np.float32)})["x"].numpy().ravel()
    assert values.tolist() == [LARGEST, -LARGEST, 0.0]


def test_the_pipeline_a_function_and_a_reloaded_export_agree(encoder, tmp_path):
    expected = as_numpy(encoder(RAW))
    piped = [as_numpy(rows) for rows in tf.data.Dataset.from_tensors(RAW).map(encoder)]
    assert_equal(piped[0], expected)

    module = tf.Module()
    module.encoder = encoder
    module.encode = tf.function(encoder.__call__, input_signature=[encoder.raw_signature()], autograph=False)
    tf.saved_model.save(module, str(tmp_path / "export"))
    reloaded = tf.saved_model.load(str(tmp_path / "export"))
    tensors = tf.nest.map_structure(tf.constant, RAW)
    assert_equal(as_numpy(reloaded.encode(tensors)), expected)
    assert_equal(as_numpy(module.encode(tensors)), expected)


@pytest.mark.parametrize("rows", [0, 1])
def test_any_batch_size(encoder, rows):
    raw = {name: values[:rows] for name, values in RAW.items()}
    expected = {name: values[:rows] for name, values in as_numpy(encoder(RAW)).items()}
    assert_equal(as_numpy(tf.function(encoder.__call__, autograph=False)(raw)), expected)


def test_a_request_may_hold_fewer_or_more_values(encoder):
    def tags(*values):
        return encoder(RAW | {"tags": np.array([values] * 5)})["tags"].numpy()[0].tolist()

    assert tags(7) == [1]
    assert tags(7, 7, 2**40, 2**40) == [1, 1, 0]  # beyond max_values they are dropped, as in training


def test_the_signature_has_the_raw_types(encoder):
    signature = encoder.raw_signature()
    assert signature["word"] == tf.TensorSpec([None], tf.string, "word")
    assert signature["tags"] == tf.TensorSpec([None, None], tf.int64, "tags")
    assert signature["price"] == tf.TensorSpec([None], tf.float32, "price")


def test_what_is_missing_is_named():
    with pytest.raises(InputError, match="'word'"):
        Encoder(SCHEMA, Statistics({"tags": (), "empty": ()}, STATISTICS.moments))
    with pytest.raises(InputError, match="'age'"):
        Encoder(SCHEMA, Statistics(STATISTICS.vocabularies, {"price": (0.0, 1.0)}))
    with pytest.raises(InputError, match="lack 'raw'"):
        Encoder(SCHEMA, STATISTICS)({name: RAW[name] for name in RAW if name != "raw"})


def test_an_encoder_comes_back_from_its_file(tmp_path):
    schema = Schema(
        (Categorical("site", "vocabulary", max_values=3), Numeric("price", "log_standardize", "mean")), query_id="q"
    )
    made = Encoder(schema, Statistics({"site": (b"\xff\xfe", "schön".encode())}, {"price": (0.25, 1.5)}))
    path = str(tmp_path / "new" / "encoder.json")
    encoding.save(made, path)
    loaded = encoding.load(path)
    assert loaded == Encoding.of(made)
    assert [loaded.table_rows(f) for f in schema.categorical] == [made.table_rows(f) for f in schema.categorical] == [4]


LACKING = (
    '{"schema": {"features": [{"name": "site", "encoding": "vocabulary"}]},'
    ' "statistics": {"vocabularies": {}, "moments": {}}}'
)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema": {"features": 3}, "statistics": {}}', LACKING])
def test_a_file_without_an_encoder_is_refused(tmp_path, content):
    path = tmp_path / "encoder.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"encoder\.json must hold the encoder of a run"):
        encoding.load(str(path))
