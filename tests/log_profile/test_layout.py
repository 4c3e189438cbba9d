"""Layouts of files: what is seen in them, and files that are no log."""

from __future__ import annotations

import gzip

import log_cases
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smooth_recs import _files
from smooth_recs.errors import InputError
from smooth_recs.log_profile.layout import GivenLayout, layout_of

COLUMNS = ("request_id", "user_id", "when", "price", "clicked")


@pytest.mark.parametrize(
    ("kind", "source", "delimiter"),
    [
        ("csv", "csv", ","),
        ("tsv", "csv", "\t"),
        ("csv.gz", "csv", ","),
        ("tfrecord", "tfrecord", ","),
        ("tfrecord.gz", "tfrecord", ","),
        ("parquet", "parquet", ","),
    ],
)
def test_the_format_is_seen(tmp_path, kind, source, delimiter):
    found = layout_of(str(log_cases.write(tmp_path, kind)))
    assert (found.source, found.delimiter, found.header) == (source, delimiter, True)
    assert sorted(found.columns) == sorted(COLUMNS)
    assert found.rows() == pytest.approx(10, abs=1)
    renamed = tmp_path / "part-0"  # as clusters name their files
    renamed.write_bytes((tmp_path / f"log.{kind}").read_bytes())
    assert layout_of(str(renamed)).source == source


@pytest.mark.parametrize("delimiter", [";", "|", "\t", ","])
def test_the_delimiter_is_seen_and_quotes_are_kept_together(tmp_path, delimiter):
    quoted = "x" if delimiter == "\t" else f'"x{delimiter}y"'
    (tmp_path / "a.txt").write_text(delimiter.join("abc") + "\n" + f"1{delimiter}{quoted}{delimiter}0\n" * 3)
    found = layout_of(str(tmp_path / "a.txt"))
    assert (found.delimiter, found.columns) == (delimiter, ("a", "b", "c"))
    given = layout_of(str(tmp_path / "a.txt"), GivenLayout(delimiter="b"))
    assert (given.delimiter, len(given.columns)) == ("b", 2)


def test_files_without_a_header_get_names(tmp_path):
    (tmp_path / "a.csv").write_text("1,de,0.5\n0,fr,0.7\n")
    found = layout_of(str(tmp_path / "a.csv"))
    assert (found.header, found.columns) == (False, ("column_1", "column_2", "column_3"))
    named = layout_of(str(tmp_path / "a.csv"), GivenLayout(names=["label", "country", "price"]))
    assert (named.header, named.columns) == (False, ("label", "country", "price"))
    with pytest.raises(InputError, match=r"--column_names must name 3 columns, as .* has, got 1"):
        layout_of(str(tmp_path / "a.csv"), GivenLayout(names=["label"]))


def test_the_index_that_pandas_writes_is_no_column(tmp_path):
    (tmp_path / "a.csv").write_text(",price,label\n0,1.5,1\n1,2.5,0\n")
    found = layout_of(str(tmp_path / "a.csv"))
    assert (found.columns, found.unreadable) == (("price", "label"), {"(column 1)": "it has no name"})


def test_lists_are_seen_and_what_no_feature_can_be(tmp_path):
    rows = [
        {"tags": ["a", "b"], "place": {"x": 1}, "seen": {"x": "a"}, "label": 1},
        {"tags": [], "place": {"x": 2}, "seen": {"x": "b"}, "label": 0},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    found = layout_of(str(tmp_path / "a.parquet"))
    assert (found.columns, found.lists) == (("tags", "label"), {"tags"})
    assert found.unreadable == {
        "place": "struct<x: int64> is no kind of a feature",
        "seen": "struct<x: string> is no kind of a feature",
    }
    records = log_cases.write(tmp_path, "tfrecord", [{"tags": ["a", "b"], "label": 1}, {"tags": ["a"], "label": 0}])
    assert layout_of(str(records)).lists == {"tags"}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"", "--data: the files hold nothing: "),
        ("a.csv", b"\n\n", "holds nothing but blank lines"),
        ("a.csv", b"price\n1\n2\n", "got one column (price) in "),
        ("a.csv", b"a b c\n1 2 3\n", "; if that is wrong, give --delimiter"),
        ("a.csv", b"a,b\n", "has a header and no row"),
        ("a.bin", b"\x00\x01,\x02\n" * 9, "is no text, and neither TFRecord nor Parquet"),
        ("a.csv.gz", gzip.compress(b"a,b\n" + b"1,2\n" * 99, mtime=0)[:-9], "is no whole gzip file"),
        ("a.parquet", b"PAR1 and then nothing", "is no Parquet file"),
        ("a.csv", b"BZh91AY", "must be plain or compressed by gzip, got bzip2"),
        ("a.csv", "a\tb\r\n1\t0\r\n".encode("utf-16"), "must be UTF-8, got UTF-16: iconv -f UTF-16 -t UTF-8"),
        ("a.csv", b"a,b\r1,0\r2,1\r", "lines must end in LF or CRLF, got CR alone in "),
        ("a.json", b'{"user": 3, "click": 0}\n{"user": 4, "click": 1}\n', "is JSON, not CSV, TSV, TFRecord or Parquet"),
        ("a.txt", b'[\n  {"user": 3, "click": 0},\n  {"user": 4, "click": 1}\n]\n', "is JSON, not CSV"),
    ],
)
def test_what_is_no_log_is_one_line(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as raised:
        layout_of(str(tmp_path / name))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("source", "said"), [("parquet", "is no Parquet file"), ("tfrecord", "is no TFRecord file")])
def test_a_format_that_is_given_wrongly_is_one_line(tmp_path, source, said):
    path = log_cases.write(tmp_path, "csv")
    with pytest.raises(InputError, match=said):
        layout_of(str(path), GivenLayout(source=source))


@pytest.mark.parametrize("delimiter", [",", ""])
def test_a_name_that_is_too_long_is_one_line_and_a_long_value_is_read(tmp_path, delimiter):
    (tmp_path / "a.csv").write_text('"' + "x" * 131_073 + '",label\ny,1\n')
    with pytest.raises(InputError, match="is no CSV with the delimiter ',': field larger than field limit"):
        layout_of(str(tmp_path / "a.csv"), GivenLayout(delimiter=delimiter))
    (tmp_path / "b.csv").write_text("a,b\n" + "x" * 131_073 + ",1\n")
    assert layout_of(str(tmp_path / "b.csv")).columns == ("a", "b")


def test_a_delimiter_is_one_character(tmp_path):
    with pytest.raises(InputError, match="--delimiter must be one character, got ';;'"):
        layout_of(str(log_cases.write(tmp_path, "csv")), GivenLayout(delimiter=";;"))


def test_files_that_are_not_there_or_may_not_be_read(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="--data: no such file or folder: nowhere"):
        layout_of("nowhere")
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")

    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(
        _files, "reading", refuse
    )  # the rights of a file do not bind a root user, who may run the tests
    with pytest.raises(InputError, match=r"^--data: .*a\.csv cannot be read: Permission denied$"):
        layout_of(str(tmp_path / "a.csv"))
