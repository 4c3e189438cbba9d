"""Files of predictions: what the export says of each row, in every format, and read back by a comparison."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
import tensorflow as tf
from comparison_log import DATA, ROWS, save
from source_imports import ROOT

from smooth_recs import config
from smooth_recs.artifacts import exports, prediction_columns
from smooth_recs.comparison import prediction_file, predictions
from smooth_recs.comparison.settings import Settings, Shard
from smooth_recs.data.presets import open_source
from smooth_recs.errors import InputError
from smooth_recs.release import predicting
from smooth_recs.release.predicting import Wish
from smooth_recs.schema import Categorical, Numeric, Schema

COMMAND = [sys.executable, "-m", "smooth_recs.bin.predict"]
FORMATS = ["p.csv", "p.csv.gz", "p.tfrecord", "p.tfrecord.gz", "p.parquet"]
SYNTHETIC = config.Config(data=DATA)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of versions of a model that knows the item and the price."""
    folder = tmp_path_factory.mktemp("model")
    save(folder / "3", 0.5)
    save(folder / "12", 0.8)
    return str(folder)


@pytest.fixture(scope="module")
def expected(export: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The held-out rows of the synthetic log with the newest version's predictions."""
    source = open_source(DATA, str(tmp_path_factory.mktemp("cache")))
    chunks = list(source.holdout(raw=True).as_numpy_iterator())
    rows = {name: np.concatenate([c[name] for c in chunks]) for name in ("label", "query_id")}
    rows |= {name: np.concatenate([c["raw"][name] for c in chunks]) for name in ("item", "price", "user")}
    serve = tf.saved_model.load(f"{export}/12").signatures["serving_default"]
    feed = {name: tf.constant(rows[name]) for name in ("item", "price")}
    return rows | {"prediction": serve(**feed)["probability"].numpy().astype(np.float64)}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read_back_as_it_was_predicted(
    export: str, expected: dict[str, Any], tmp_path: Path, name: str
) -> None:
    output = str(tmp_path / name)
    assert predicting.predict(Wish(export, SYNTHETIC, output, key=("user", "price"))) == ROWS
    settings = Settings(output, output, "out.json", key=("row", "user"))
    read = prediction_file.read(exports.identify("--a", output), settings)
    np.testing.assert_array_equal(read["key/0"], np.arange(ROWS))
    np.testing.assert_array_equal(read["key/1"], expected["user"])
    np.testing.assert_array_equal(read["query_id"], expected["query_id"])
    np.testing.assert_array_equal(read["label"], expected["label"])
    np.testing.assert_array_equal(read["prediction"], expected["prediction"])
    prices = prediction_file.read(exports.identify("--a", output), Settings(output, output, "o.json", key=("price",)))
    np.testing.assert_array_equal(prices["key/0"].astype(np.float64), expected["price"])


def test_a_comparison_finds_no_difference_between_export_and_file(export: str, tmp_path: Path) -> None:
    output = str(tmp_path / "p.csv")
    predicting.predict(Wish(export, SYNTHETIC, output))
    settings = Settings(export, output, str(tmp_path / "out.json"), config=SYNTHETIC)
    both = [exports.identify(flag, path) for flag, path in (("--a", export), ("--b", output))]
    a, b, _ = predictions.gather(settings, both, Shard())
    np.testing.assert_array_equal(a.columns["prediction"], b.columns["prediction"])
    assert a.columns["prediction"].std() > 0.01


SHOP = Schema(
    (Categorical("shop", "hash", 10), Categorical("item", "hash", 10, "int64"), Numeric("price")),
    label="click",
    weight="importance",
)


def shop_model(path: Path) -> str:
    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, name="shop"), tf.TensorSpec([None], tf.int64, name="item")]
    )
    def serve(shop: Any, item: Any) -> Any:
        length = tf.cast(tf.strings.length(shop), tf.float32)
        return {"probability": tf.sigmoid(length - tf.cast(item, tf.float32) / 1e9)}

    module = tf.Module()
    module.serve = serve
    tf.saved_model.save(module, str(path), signatures={"serving_default": serve})
    return str(path)


@pytest.fixture
def shop(tmp_path: Path) -> tuple[str, config.Config]:
    """A model, and a configuration whose own files are gone."""
    data = config.Data(source="csv", path="no/longer/there.csv", schema=SHOP, max_malformed=0.5)
    return shop_model(tmp_path / "model"), config.Config(data=data)


def test_all_rows_of_other_files(shop: tuple[str, config.Config], tmp_path: Path, capsys: Any) -> None:
    for name, rows in {
        "1.csv": b'"a,b",5000000000,1,1,2\n\xff\xfe,-3,,0,0.5\n',
        "2.csv": b"c,x,1,1,1\n,,1,0,3\n",
    }.items():
        (tmp_path / name).write_bytes(b"shop,item,price,click,importance\n" + rows)
    output = str(tmp_path / "out" / "p.csv")
    assert predicting.predict(Wish(*shop, output, data=str(tmp_path / "*.csv"), key=("shop", "item"))) == 3
    found = pyarrow.csv.read_csv(output).to_pydict()
    assert list(found) == ["row", "shop", "item", "weight", "label", "prediction"]
    assert found["row"] == [0, 1, 2]
    assert found["shop"] == ["a,b", r"\xff\xfe", ""]
    assert found["item"] == [5_000_000_000, -3, -1]
    assert found["weight"] == [2, 0.5, 3]
    assert found["label"] == [1, 0, 0]
    assert found["prediction"] == pytest.approx(
        [1 / (1 + np.exp(-(n - i / 1e9))) for n, i in ((3, 5e9), (2, -3), (0, -1))]
    )
    assert re.match(r"1 malformed rows are left out: .*2\.csv:2 \(item is no integer\)", capsys.readouterr().out)


def test_texts_in_tfrecords_are_the_bytes_of_the_log(tmp_path: Path) -> None:
    with prediction_columns.writing(str(tmp_path / "p.tfrecord")) as write:
        write({"shop": np.array([b"\xff\x00", b""], object), "prediction": np.array([0.25, 0.5])})
    records = [
        tf.train.Example.FromString(r)
        for r in tf.data.TFRecordDataset(str(tmp_path / "p.tfrecord")).as_numpy_iterator()
    ]
    assert [r.features.feature["shop"].bytes_list.value[0] for r in records] == [b"\xff\x00", b""]


def write_half(path: str) -> None:
    with prediction_columns.writing(path) as write:
        write({"prediction": np.array([0.5])})
        raise RuntimeError("the disk is full")


@pytest.mark.parametrize("name", FORMATS)
def test_a_failure_in_the_middle_leaves_the_file_of_before(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"before")
    with pytest.raises(RuntimeError, match="the disk is full"):
        write_half(str(path))
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == [name]


def test_batches_follow_each_other(tmp_path: Path) -> None:
    for name in ("p.csv.gz", "p.parquet"):
        with prediction_columns.writing(str(tmp_path / name)) as write:
            for first in (0, 2):
                write({"row": np.arange(first, first + 2), "prediction": np.full(2, 0.1, np.float32)})
    with gzip.open(tmp_path / "p.csv.gz", "rt") as file:
        assert file.read().splitlines()[1:] == [f"{row},{float(np.float32(0.1))!r}" for row in range(4)]
    assert pyarrow.parquet.read_table(tmp_path / "p.parquet")["row"].to_pylist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"output": "p.txt"}, "--output must end in one of .csv, .csv.gz, .tfrecord, .tfrecord.gz, .parquet, got "),
        ({"export": "nowhere"}, "--export: no such file or folder: nowhere"),
        ({"export": "p.parquet"}, "--export must be a SavedModel or a folder of its versions, got p.parquet"),
        ({"key": ("row",)}, "--key must not name 'row', which the file has as a column of its own"),
        ({"key": ("topics",)}, "--key must name single-valued features (user, item, "),
        ({"data": "log.csv"}, "--data needs a --config of files: its data.source must not be synthetic"),
        ({"export": "shop"}, "--export: the model's input 'shop' is no feature of --config, which has user, item, "),
    ],
)  # fmt: skip
def test_wrong_input_is_one_line_and_leaves_nothing(
    export: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.parquet").write_text("")
    if changes.get("export") == "shop":
        shop_model(tmp_path / "shop")
    before = sorted(os.listdir())
    wish = {"export": export, "config": SYNTHETIC, "output": "out.csv"} | changes
    with pytest.raises(InputError) as error:
        predicting.predict(Wish(**wish))
    assert str(error.value).startswith(words)
    assert sorted(os.listdir()) == before


def test_what_is_no_probability_leaves_nothing(tmp_path: Path) -> None:
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="price")])
    def serve(price: Any) -> Any:
        return {"probability": price}

    module = tf.Module()
    module.serve = serve
    tf.saved_model.save(module, str(tmp_path / "model"), signatures={"serving_default": serve})
    with pytest.raises(InputError, match=r"--export: predictions must be in \[0, 1\], got .* are these logits\?"):
        predicting.predict(Wish(str(tmp_path / "model"), SYNTHETIC, str(tmp_path / "p.csv")))
    assert os.listdir(tmp_path) == ["model"]


def test_help_names_every_flag_and_loads_no_tensorflow() -> None:
    command = [sys.executable, "-X", "importtime", *COMMAND[1:], "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0
    assert done.stdout.startswith("Predicts with an export")
    for name in ("export", "config", "output", "data", "key"):
        assert f"\n  --{name} " in done.stdout
    loaded = set(re.findall(r"\| +([\w.]+)$", done.stderr, re.MULTILINE))
    assert not loaded & {"tensorflow", "keras", "tf_keras", "pyarrow"}


@pytest.mark.slow
def test_the_command(export: str, tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text(
        "from smooth_recs import config\n"
        "def get_config():\n"
        "    return config.Config(data=config.Data(\n"
        "        examples=1000, eval_examples=500, synthetic=config.SyntheticLog(missing_rate=0.0)))\n"
    )
    command = [*COMMAND, f"--export={export}", f"--config={tmp_path}/config.py", f"--output={tmp_path}/p.parquet"]
    done = subprocess.run([*command, "--key=user,item"], capture_output=True, text=True, timeout=250, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"predictions  500 rows in {tmp_path}/p.parquet\n"
    assert pyarrow.parquet.read_table(tmp_path / "p.parquet").num_rows == 500
    done = subprocess.run([*command, "--key=nobody"], capture_output=True, text=True, timeout=250, cwd=ROOT)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"error: --key must name single-valued features \(.*\), got 'nobody'\n", done.stderr)
