"""Logs at URLs: every format, plain and gzip, gives the rows, vocabularies and moments that local files give."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from smooth_recs import _files, _paths
from smooth_recs.config import Data
from smooth_recs.data import files, stream
from smooth_recs.data.encoding import Encoding
from smooth_recs.data.presets import open_source
from smooth_recs.data.readers.csv import CsvReader
from smooth_recs.data.readers.parquet import parquet_to_tfrecord
from smooth_recs.errors import InputError
from smooth_recs.schema import Categorical, Numeric, Schema

SCHEMA = Schema(
    (
        Categorical("user", "vocabulary"),
        Categorical("words", "hash", 30, max_values=3),
        Numeric("price", "standardize"),
    ),
    query_id="request",
)
URL = "ram://logs"


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One log in each format, by name."""
    folder, chance = tmp_path_factory.mktemp("logs"), random.Random(1)
    columns: dict[str, list[Any]] = {
        "user": [chance.choice(["ann", "bob", "", "eve"]) for _ in range(300)],
        "words": [chance.choice(["one|two", "two", ""]) for _ in range(300)],
        "price": [chance.choice([None, 0.5, 3.25, 700.0]) for _ in range(300)],
        "request": [n // 4 for n in range(300)],
        "label": [int(chance.random() < 0.3) for _ in range(300)],
    }
    table, paths = pa.table(columns), {}
    for name in ("csv", "csv.gz", "parquet"):
        paths[name] = str(folder / f"log.{name}")
    pa.csv.write_csv(table, paths["csv"])
    Path(paths["csv.gz"]).write_bytes(gzip.compress(Path(paths["csv"]).read_bytes()))
    pa.parquet.write_table(table, paths["parquet"], row_group_size=100)
    (paths["tfrecord.gz"],) = parquet_to_tfrecord([paths["parquet"]], SCHEMA, str(folder / "records"))
    paths["tfrecord"] = str(folder / "log.tfrecord")
    Path(paths["tfrecord"]).write_bytes(gzip.decompress(Path(paths["tfrecord.gz"]).read_bytes()))
    return paths


@pytest.fixture(scope="module")
def remote(local: dict[str, str]) -> Iterator[dict[str, str]]:
    """The same files at URLs, each in a folder of its own.

    No folder's name begins another one's: at ram:// a folder lists what is in those too (TensorFlow 2.21).
    """
    paths = {name: f"{URL}/{number}/{Path(path).name}" for number, (name, path) in enumerate(local.items())}
    for name, path in local.items():
        _files.write_bytes(paths[name], Path(path).read_bytes())
    yield paths
    _files.remove_folder(URL)


def settings(name: str, path: str) -> Data:
    return Data(source=name.removesuffix(".gz"), path=path, schema=SCHEMA)


@pytest.mark.parametrize("name", ["csv", "csv.gz", "tfrecord", "tfrecord.gz", "parquet"])
def test_a_log_at_a_url_is_the_log(
    name: str, local: dict[str, str], remote: dict[str, str], gather: Callable[[Any], Any], tmp_path: Path
) -> None:
    here = open_source(settings(name, local[name]), str(tmp_path / "cache"))
    folder = _paths.parent(remote[name])
    assert files.expand(remote[name]) == files.expand(folder) == files.expand(f"{folder}/*") == (remote[name],)
    there = open_source(settings(name, folder), f"{URL}/cache")
    assert there.fingerprint == here.fingerprint
    assert Encoding.of(there.encoder) == Encoding.of(here.encoder)
    one, other = (gather(source.train(100, raw=True)) for source in (here, there))
    np.testing.assert_array_equal(one["raw"]["user"], other["raw"]["user"])
    np.testing.assert_array_equal(one["features"]["price"], other["features"]["price"])
    assert one["label"].size == 140  # four fifths of 300 rows, without 100
    kept = _files.listdir(f"{URL}/cache")
    assert any(each.startswith(here.fingerprint) and each.endswith("survey-train.npz") for each in kept)


def test_quoted_line_breaks_are_read_by_python(gather: Callable[[Any], Any]) -> None:
    content = b'shop,label\n"a\nb",1\nc,0\n'
    for name, stored in (("plain.csv", content), ("packed.csv.gz", gzip.compress(content))):
        _files.write_bytes(f"ram://quoted/{name}", stored)
        reader = CsvReader([f"ram://quoted/{name}"], Schema((Categorical("shop", "hash", 10),)), line_breaks=True)
        assert gather(reader.read())["raw"]["shop"].tolist() == [b"a\nb", b"c"]
    _files.remove_folder("ram://quoted")


def test_parquet_is_converted_to_a_url(local: dict[str, str]) -> None:
    (path,) = parquet_to_tfrecord([local["parquet"]], SCHEMA, "ram://converted")
    assert _files.listdir("ram://converted") == ["part-00000.tfrecord.gz"]
    assert gzip.decompress(_files.read_bytes(path)) == Path(local["tfrecord"]).read_bytes()
    _files.remove_folder("ram://converted")


def test_what_is_wrong_at_a_url_is_named() -> None:
    _files.write_bytes("ram://wrong/cut.csv.gz", gzip.compress(b"user,words,price,request,label\n" * 100)[:-9])
    _files.write_text("ram://wrong/text.parquet", "user,label")
    _files.write_text("ram://wrong/empty.csv", "")
    for name, path, said in (
        ("csv", "ram://wrong/cut.csv.gz", r"data\.path: .*ram://wrong/cut\.csv\.gz"),
        ("parquet", "ram://wrong/text.parquet", r"data\.path: ram://wrong/text\.parquet is no Parquet file"),
        ("csv", "ram://wrong/empty.csv", r"data\.path: the files hold nothing: ram://wrong/empty\.csv"),
        ("csv", "ram://wrong/none.csv", r"data\.path: no such file or folder: ram://wrong/none\.csv"),
        ("csv", "ram://wrong/*.tsv", r"data\.path: no file matches ram://wrong/\*\.tsv"),
    ):
        with pytest.raises(InputError, match=said):
            open_source(settings(name, path), "ram://wrong/cache")
    _files.remove_folder("ram://wrong")


def test_a_stream_at_a_url(local: dict[str, str], gather: Callable[[Any], Any]) -> None:
    content = Path(local["csv"]).read_bytes()
    _files.write_bytes("ram://stream/eval.csv", content)
    _files.write_bytes("ram://stream/new/1.csv", content)
    data = settings("csv", "ram://stream/new")
    data.eval_path, data.follow_seconds = "ram://stream/eval.csv", 1.5
    source = stream.FollowedSource(data, "ram://stream/run")
    assert source.train_rows == 300
    _files.write_bytes("ram://stream/new/2.csv", content)
    source.wait()
    assert gather(source.train(300))["label"].size == 300
    again = stream.FollowedSource(data, "ram://stream/run")
    assert again.train_rows == 600
    assert again.fingerprint == source.fingerprint
    _files.write_bytes("ram://stream/new/1.csv", content + b"\n")
    with pytest.raises(InputError, match=r"1\.csv has changed since it was taken"):
        again.check(0)
    _files.remove_folder("ram://stream")
