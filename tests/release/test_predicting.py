"""Files of predictions: what the export says of each row, in every format, and read back by a comparison."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import gzip
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import tensorflow as tf
from comparison_log import DATA, ROWS, save

from smooth_recs import config
from smooth_recs.artifacts import exports, prediction_files
from smooth_recs.artifacts.prediction_files import Wanted
from smooth_recs.comparison import predictions
from smooth_recs.comparison.settings import Settings, Shard
from smooth_recs.data.presets import open_source
from smooth_recs.data.readers.parquet import exact_texts
from smooth_recs.errors import InputError
from smooth_recs.release import predicting
from smooth_recs.release.predicting import PredictSettings
from smooth_recs.schema import Categorical, Numeric, Schema

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
    assert predicting.predict(PredictSettings(export, SYNTHETIC, output, key=("user", "price"))) == ROWS
    read = prediction_files.read(exports.identify("--a", output), Wanted(key=("row", "user")))
    np.testing.assert_array_equal(read["key/0"], np.arange(ROWS))
    np.testing.assert_array_equal(read["key/1"], expected["user"])
    np.testing.assert_array_equal(read["query_id"], expected["query_id"])
    np.testing.assert_array_equal(read["label"], expected["label"])
    np.testing.assert_array_equal(read["prediction"], expected["prediction"])
    prices = prediction_files.read(exports.identify("--a", output), Wanted(key=("price",)))
    np.testing.assert_array_equal(prices["key/0"].astype(np.float64), expected["price"])


def test_a_comparison_finds_no_difference_between_export_and_file(export: str, tmp_path: Path) -> None:
    output = str(tmp_path / "p.csv")
    predicting.predict(PredictSettings(export, SYNTHETIC, output))
    settings = Settings(export, output, str(tmp_path / "out.json"), config=SYNTHETIC)
    both = [exports.identify(flag, path) for flag, path in (("--a", export), ("--b", output))]
    a, b, _ = predictions.gather(settings, both, Shard())
    np.testing.assert_array_equal(a.columns["prediction"], b.columns["prediction"])
    assert a.columns["prediction"].std() > 0.01


def test_the_list_of_unstable_rows(
    export: str, expected: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = str(tmp_path / "unstable.csv")
    evaluation = config.Evaluation(unstable_loss=1.0, unstable_pd=0.2)
    settings = PredictSettings(f"{export}/12", config.Config(data=DATA, evaluation=evaluation), output)
    rows = predicting.predict(dataclasses.replace(settings, siblings=(f"{export}/3",)))
    one, jitter = expected["prediction"], (expected["item"] % 7) / 7
    other = 1 / (1 + np.exp(-(np.log(one / (1 - one)) + 0.3 * jitter)))  # the slope is 0.5 in place of 0.8
    moved = 2 * np.abs(one - other) / (one + other)
    assert 0 < rows < ROWS
    found = pyarrow.csv.read_csv(output).to_pydict()
    assert list(found) == ["row", "query_id", "label", "prediction", "moved"]
    np.testing.assert_array_equal(found["row"], np.flatnonzero(moved > 0.2))
    np.testing.assert_allclose(found["moved"], moved[moved > 0.2], rtol=1e-4)
    np.testing.assert_array_equal(found["prediction"], one[moved > 0.2])
    assert capsys.readouterr().out.startswith(
        f"unstable     {np.mean(moved > 0.2):.2%} of the rows; as good as {export}/"
    )
    # The other one is not as good as the best: no row is known to be unstable.
    strict = dataclasses.replace(
        settings,
        siblings=(f"{export}/3",),
        config=config.Config(data=DATA, evaluation=config.Evaluation(unstable_loss=0)),
    )
    assert predicting.predict(strict) == 0
    assert pyarrow.csv.read_csv(output).num_rows == 0
    with pytest.raises(InputError, match=r"^--siblings: no such file or folder: nowhere"):
        predicting.predict(dataclasses.replace(settings, siblings=("nowhere",)))


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
    assert predicting.predict(PredictSettings(*shop, output, data=str(tmp_path / "*.csv"), key=("shop", "item"))) == 3
    found = pyarrow.csv.read_csv(output).to_pydict()
    assert list(found) == ["row", "shop", "item", "weight", "label", "prediction"]
    assert found["row"] == [0, 1, 2]
    assert found["shop"] == ["a,b", r"\xff\xfe", ""]
    assert found["item"] == [5_000_000_000, -3, None]
    assert found["weight"] == [2, 0.5, 3]
    assert found["label"] == [1, 0, 0]
    assert found["prediction"] == pytest.approx(
        [1 / (1 + np.exp(-(n - i / 1e9))) for n, i in ((3, 5e9), (2, -3), (0, -1))]
    )
    said = capsys.readouterr().out
    assert re.match(r"1 malformed row is left out: .*2\.csv:2 \(item is no integer of 64 bits, got 'x'\)", said)


def predicted(shops: list[str], items: list[int]) -> Any:
    return pytest.approx([1 / (1 + np.exp(-(len(s) - i / 1e9))) for s, i in zip(shops, items, strict=True)])


@pytest.mark.parametrize(
    ("header", "rows", "columns"),
    [
        ("shop,item,price", ["a,1,2", "bb,2,3"], ["row", "prediction"]),
        ("shop,item,price,click,importance", ["a,1,2,,", "bb,2,3,,"], ["row", "weight", "label", "prediction"]),
        ("shop,item,price,click", ["a,1,2,1", "bb,2,3,maybe"], ["row", "label", "prediction"]),
        ("importance,shop,item,price", ["-1,a,1,2", "2,bb,2,3"], ["row", "weight", "prediction"]),
    ],
)
def test_rows_need_no_label_and_no_weight(
    shop: tuple[str, config.Config], tmp_path: Path, header: str, rows: list[str], columns: list[str]
) -> None:
    (tmp_path / "new.csv").write_text("\n".join([header, *rows]))
    output = str(tmp_path / "p.csv")
    assert predicting.predict(PredictSettings(*shop, output, data=str(tmp_path / "new.csv"))) == 2
    found = pyarrow.csv.read_csv(output).to_pydict()
    assert list(found) == columns
    assert found["prediction"] == predicted(["a", "bb"], [1, 2])
    assert found.get("label") in (None, [None, None], [1, None])
    assert found.get("weight") in (None, [None, None], [None, 2])
    if rows[1].endswith(",,"):
        # What is known of no row is no column for a comparison.
        assert list(prediction_files.read(exports.identify("--a", output), Wanted())) == ["prediction"]


def test_rows_need_no_request_and_no_time(tmp_path: Path) -> None:
    schema = dataclasses.replace(SHOP, query_id="request", timestamp="time")
    data = config.Data(source="csv", path="gone.csv", schema=schema)
    (tmp_path / "new.csv").write_text("shop,item,price,request,time\na,1,2,,then\nbb,2,3,r,\n")
    output = str(tmp_path / "p.parquet")
    settings = PredictSettings(
        shop_model(tmp_path / "m"), config.Config(data=data), output, data=str(tmp_path / "new.csv")
    )
    predicting.predict(settings)
    found = pyarrow.parquet.read_table(output).to_pydict()
    assert found["prediction"] == predicted(["a", "bb"], [1, 2])
    assert found["query_id"][0] is None
    assert found["query_id"][1] >= 0


KEYS = {
    "text": ["007", "1.0", "NULL", ' a, "b" ', "", "\N{GREEK SMALL LETTER BETA}"],
    "large": [2**53 + 1, 2**63 - 1, -(2**63) + 1, 0, 1, 2],
    "wide": [2**64 - 1, 2**63, 0, 1, 2, 3],
    "money": [decimal.Decimal(t) for t in ("12345678901234567890.10", "7.00", "0.25", "0.00", "-1.50", "3.00")],
    "day": [datetime.date(2024, 1, 31), datetime.date(1969, 12, 31), *[datetime.date(2000, 1, 1)] * 4],
    "time": [datetime.datetime(2024, 1, 31, 12, 0, 0, 500000), *[datetime.datetime(2024, 1, 31, 12)] * 5],
}
AS_TEXT = {
    name: [str(value) for value in values]
    if name != "time"
    else [*["2024-01-31 12:00:00.5"], *["2024-01-31 12:00:00"] * 5]
    for name, values in KEYS.items()
}


def write_rows(path: Path) -> str:
    """Six rows with keys of every type, in the format that the name says."""
    features = {"shop": [f"s{n}" for n in range(6)], "item": list(range(6)), "price": [1.5] * 6}
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pa.table(features | KEYS | {"wide": pa.array(KEYS["wide"], pa.uint64())}), path)
    elif path.suffix == ".tfrecord":
        with prediction_files.writer(str(path)) as write:
            write(
                {name: pa.array(values) for name, values in (features | AS_TEXT | {"large": KEYS["large"]}).items()}
                | {"price": np.full(6, 1.5)}
            )
    else:
        mark = "\t" if ".tsv" in path.name else ","
        quoted = [f'"{text}"'.replace('"b"', '""b""') if mark == "," else text for text in AS_TEXT["text"]]
        columns = features | AS_TEXT | {"text": quoted}
        lines = [mark.join(columns), *(mark.join(map(str, row)) for row in zip(*columns.values(), strict=True))]
        content = "\n".join(lines).encode()
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("new.csv", "p.csv"),
        ("new.csv.gz", "p.parquet"),
        ("new.tsv", "p.tfrecord"),
        ("part-0.parquet", "p.csv.gz"),
        ("part-0.parquet", "p.parquet"),
        ("part-0.parquet", "p.tfrecord"),
        ("new.tfrecord", "p.parquet"),
    ],
)
def test_keys_stand_in_the_file_as_in_the_data(
    shop: tuple[str, config.Config], tmp_path: Path, source: str, name: str
) -> None:
    """Of any format, though the model was trained on CSV."""
    output, data = str(tmp_path / name), write_rows(tmp_path / source)
    assert predicting.predict(PredictSettings(*shop, output, data=data, key=tuple(KEYS))) == 6
    found = exports_of(output)
    for key, texts in AS_TEXT.items():
        assert found[key] == [text.encode() for text in texts], key
    assert found["prediction"] == predicted(["s0"] * 6, list(range(6)))
    if source.endswith(".parquet") and name.endswith(".parquet"):
        table = pyarrow.parquet.read_table(output)
        assert {key: table[key].to_pylist() for key in KEYS if key != "text"} == {
            k: v for k, v in KEYS.items() if k != "text"
        }
        assert table.schema.field("wide").type == pa.uint64()


def exports_of(path: str) -> dict[str, list[Any]]:
    """The columns of a file of predictions: keys as exact texts, whatever type they have there."""
    columns = prediction_files.read_columns(path, [*KEYS, "prediction"])
    return {
        name: column.cast(pa.float64()).to_pylist() if name == "prediction" and not pa.types.is_binary(column.type)
        else [float(v) for v in column.to_pylist()] if name == "prediction"
        else [value or b"" for value in exact_texts(column).to_pylist()]
        for name, column in columns.items()
    }  # fmt: skip


def test_a_folder_or_a_glob_of_one_format(shop: tuple[str, config.Config], tmp_path: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    for name in ("part-0.parquet", "part-1.parquet"):
        write_rows(folder / name)
    for data in (str(folder), f"{folder}/part-*", f"{folder}/part-0.parquet,{folder}/part-1.parquet"):
        assert predicting.predict(PredictSettings(*shop, str(tmp_path / "p.csv"), data=data, key=("wide",))) == 12
    write_rows(folder / "other.csv")
    with pytest.raises(
        InputError, match=r"^--data must name files of one format, got csv in .*other\.csv and parquet in "
    ):
        predicting.predict(PredictSettings(*shop, str(tmp_path / "p.csv"), data=str(folder)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": "nowhere.csv"}, "--data: no such file or folder: nowhere.csv"),
        ({"data": "{new}", "key": ("nobody",)}, "--key: the column 'nobody' is not in {new}, which has shop, "),
        ({"data": "{new}", "key": ("wide", "wide")}, "--key must name each column once, got 'wide' twice"),
        ({"data": "{new}", "key": ("label",)}, "--key must not name 'label', which the file has as a column"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_data_or_key_names_its_flag(
    shop: tuple[str, config.Config], tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    new = write_rows(tmp_path / "new.csv")
    given = {name: value.format(new=new) if isinstance(value, str) else value for name, value in changes.items()}
    with pytest.raises(InputError) as error:
        predicting.predict(PredictSettings(*shop, str(tmp_path / "p.csv"), **given))
    assert str(error.value).startswith(words.format(new=new))
    assert os.listdir(tmp_path).count("p.csv") == 0


TRIVAGO = (
    "request_id,timestamp,item_id,position,price_rank,n_shown,price,platform,city,device,first_filter,n_filters,"
    "prev_action,step,clicks_so_far,item_seen_in_session,item_is_last_seen"
)
AFTER_ITEM = "1,1,25,80,DE,Berlin,mobile,,0,search,3,0,0,0"
OF_PRESETS = {
    "movielens": ("new.inter", ["user_id:token\titem_id:token\ttimestamp:float", "1\t7\t100", "2\t5\t200"], "item_id"),
    "movielens without a header": ("u.data", ["1\t7\t\t100", "2\t5\t\t"], "item_id"),
    "criteo": ("test.txt", ["\t".join([each, *["3"] * 12, *["ab"] * 26]) for each in ("7", "5")], "I1"),
    "kuairand": ("log.csv", ["user_id,video_id,tab,hourmin,duration_ms", "1,7,1,12,999", "2,5,1,13,99"], "video_id"),
    "trivago": ("impressions.csv", [TRIVAGO, f"a,1,7,{AFTER_ITEM}", f"a,1,5,{AFTER_ITEM}"], "item_id"),
    "open_bandit": (
        "men.csv",
        [
            ",timestamp,item_id,position,user_feature_0,user_feature_1,user_feature_2,user_feature_3",
            *("0,2019-11-24 00:00:03.25+00:00,7,1,a,b,c,d", "1,2019-11-24 00:00:01+00:00,5,3,a,e,c,f"),
        ],
        "item_id",
    ),
}  # fmt: skip


def model_of(path: Path, name: str, dtype: Any) -> str:
    """A model of one feature, a number below 10 whatever its type."""

    @tf.function(input_signature=[tf.TensorSpec([None], dtype, name=name)])
    def serve(value: Any) -> Any:
        number = tf.strings.to_number(value) if dtype == tf.string else tf.cast(value, tf.float32)
        return {"probability": number / 10.0}

    module = tf.Module()
    module.serve = serve
    tf.saved_model.save(module, str(path), signatures={"serving_default": serve})
    return str(path)


@pytest.mark.parametrize("preset", OF_PRESETS)
def test_rows_of_presets_need_no_label(tmp_path: Path, preset: str) -> None:
    name, lines, feature = OF_PRESETS[preset]
    source: Any = preset.split()[0]
    (tmp_path / name).write_text("\n".join(lines) + "\n")
    dtype = {"criteo": tf.float32, "kuairand": tf.string, "trivago": tf.string}.get(source, tf.int64)
    model, output = model_of(tmp_path / "model", feature, dtype), str(tmp_path / "p.csv")
    settings = config.Config(data=config.Data(source=source, path="gone"))
    wanted = PredictSettings(model, settings, output, data=str(tmp_path / name), key=(feature,))
    assert predicting.predict(wanted) == 2
    found = pyarrow.csv.read_csv(output).to_pydict()
    assert found["prediction"] == pytest.approx([0.7, 0.5])
    assert found[feature] == [7, 5]
    assert found.get("label", [None, None]) == [None, None]


def test_a_preset_whose_lines_do_not_say_what_is_missing_refuses_them(tmp_path: Path) -> None:
    (tmp_path / "u.data").write_text("1\t7\n")
    settings = config.Config(data=config.Data(source="movielens", path="gone"))
    model = model_of(tmp_path / "model", "item_id", tf.int64)
    with pytest.raises(
        InputError,
        match=r"^--data: a file without a header must have user_id, item_id, rating, timestamp in each line, "
        r"of which rating and timestamp may be empty where rows are only predicted, got 2 fields in .*u\.data:1$",
    ):
        predicting.predict(PredictSettings(model, settings, str(tmp_path / "p.csv"), data=str(tmp_path / "u.data")))


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
        predicting.predict(PredictSettings(**wish))
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
        predicting.predict(PredictSettings(str(tmp_path / "model"), SYNTHETIC, str(tmp_path / "p.csv")))
    assert os.listdir(tmp_path) == ["model"]
