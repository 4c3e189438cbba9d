"""A folder that grows is one log: the same rows under the same numbers, whatever came when."""

from __future__ import annotations

import os
import threading
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smooth_recs import config
from smooth_recs.data import stream, stream_files
from smooth_recs.data.presets import open_source
from smooth_recs.data.stream import FollowedSource
from smooth_recs.errors import InputError
from smooth_recs.schema import Categorical, Numeric, Schema

SCHEMA = Schema((Categorical("word", "vocabulary"), Numeric("row", "identity")))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(stream_files, "SETTLED_SECONDS", 0.1)
    monkeypatch.setattr(stream, "_POLL_SECONDS", 0.02)
    monkeypatch.setattr(stream, "IDLE_SECONDS", 0.2)


def write(path, first, rows, *, word="w{}", bad=()):
    """Row number r of the log has the number r; `bad` ones are malformed."""
    lines = ["x" if r in bad else f"{word.format(r % 3)},{r},{r % 2}" for r in range(first, first + rows)]
    beside = path.with_name("." + path.name)
    beside.write_text("\n".join(["word,row,label", *lines]) + "\n")
    os.replace(beside, path)


@pytest.fixture
def log(tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    write(tmp_path / "held_out.csv", 1000, 5)
    return folder


def data_of(log, **changes):
    settings = {"source": "csv", "path": str(log), "eval_path": str(log.parent / "held_out.csv"), "schema": SCHEMA}
    return config.Data(**{**settings, "follow_seconds": 0.6, **changes})


def source_of(log, **changes):
    (log.parent / "work").mkdir(exist_ok=True)
    return FollowedSource(data_of(log, **changes), str(log.parent / "work"))


def rows_of(dataset):
    return [int(row) for chunk in dataset.as_numpy_iterator() for row in chunk["features"]["row"][:, 0]]


def until_end(source):
    while not source.ended:
        source.wait()


def test_rows_keep_their_numbers_while_the_log_grows(log, capsys, small_chunks):
    write(log / "part_2.csv", 0, 20)
    source = source_of(log)
    assert rows_of(source.train()) == list(range(20))
    write(log / "part_10.csv", 30, 9)
    write(log / "part_9.csv", 20, 10)
    write(log / "_SUCCESS", 0, 1)
    source.wait()
    write(log / "part_1.csv", 39, 4)  # by its name before those that were taken
    source.wait()
    for start in (0, 1, 19, 20, 29, 35, 42):
        assert rows_of(source.train(start)) == list(range(start, 43)), start
    assert rows_of(source.train(43)) == []
    assert rows_of(source.holdout()) == list(range(1000, 1005))
    begun, idle = time.monotonic(), []
    source.wait(lambda: idle.append(source.train_rows))
    assert time.monotonic() - begun > 0.6
    assert source.ended
    assert idle == [43]
    assert f"waiting for new files under {log}: 4 taken, 43 rows; ends after 0.6 seconds" in capsys.readouterr().out


def test_is_the_source_of_the_same_files(log, tmp_path, gather):
    for number in range(3):
        write(log / f"{number}.csv", number * 50, 50)
    source = source_of(log)
    whole = open_source(data_of(log, follow_seconds=0.0), str(tmp_path / "cache"))
    assert source.encoder.statistics == whole.encoder.statistics
    for start in (0, 70):
        one, other = gather(source.train(start, raw=True)), gather(whole.train(start, raw=True))
        for name in ("word", "row"):
            np.testing.assert_array_equal(one["features"][name], other["features"][name])
            np.testing.assert_array_equal(one["raw"][name], other["raw"][name])
        np.testing.assert_array_equal(one["label"], other["label"])
    assert (source.train_rows, source.eval_rows) == (whole.train_rows, whole.eval_rows)
    assert source.summary == whole.summary
    assert source.train().element_spec == source.train(150).element_spec == whole.train().element_spec


def test_later_values_out_of_vocabulary_are_counted_and_said_once(log, capsys):
    write(log / "0.csv", 0, 30)
    source = source_of(log)
    assert source.summary["outside"] == {"word": 0.0}
    assert source.summary["warnings"] == []
    write(log / "1.csv", 30, 6, word="new{}")  # 6 of 36
    source.wait()
    assert source.summary["outside"] == {"word": pytest.approx(6 / 36)}
    assert "warning" not in capsys.readouterr().out
    for number, share in ((36, "28.6%"), (42, "37.5%")):
        write(log / f"{number}.csv", number, 6, word="newer{}")
        source.wait()
        assert source.summary["warnings"] == [f"{share} of the values of word are out of vocabulary and share one row"]
    said = capsys.readouterr().out
    assert said.count("warning: 28.6% of the values of word are out of vocabulary and share one row\n") == 1
    assert said.count("warning") == 1
    assert source_of(log).summary["warnings"] == source.summary["warnings"]  # another process


def test_values_that_the_first_files_have_too_rarely_count(log):
    schema = Schema((Categorical("word", "vocabulary", size=2), Categorical("row", "identity", 15, "int64")))
    write(log / "0.csv", 0, 30)
    source = source_of(log, schema=schema)
    assert source.summary["outside"] == pytest.approx({"word": 1 / 3, "row": 20 / 35})  # held-out rows are 1000 to 1004
    assert len(source.summary["warnings"]) == 2


def test_goes_on_after_an_interruption_with_its_order_its_vocabulary_and_its_end(log):
    write(log / "b.csv", 0, 10)
    first = source_of(log)
    write(log / "a.csv", 10, 10, word="v{}")
    first.wait()
    write(log / "0.csv", 20, 10)
    second = source_of(log)  # another process
    assert second.fingerprint == first.fingerprint
    assert rows_of(second.train()) == list(range(20))
    second.wait()
    assert rows_of(second.train()) == list(range(30))
    assert second.fingerprint != first.fingerprint
    assert first.fingerprint in second.earlier_fingerprints
    assert second.encoder.statistics == first.encoder.statistics
    assert second.encoder.statistics.vocabularies["word"] == (b"w0", b"w1", b"w2")
    until_end(second)
    write(log / "late.csv", 30, 10)
    third = source_of(log)
    assert third.ended
    assert third.train_rows == 30
    assert rows_of(third.train(25)) == list(range(25, 30))


def test_a_file_that_is_being_written_holds_back_those_after_it(log):
    write(log / "0.csv", 0, 4)
    source = source_of(log, follow_seconds=3.0)
    content = "word,row,label\n" + "".join(f"w,{r},1\n" for r in range(4, 40))
    (log / "empty.csv").touch()
    write(log / "2.csv", 40, 4)

    def slowly():
        with open(log / "1.csv", "w") as file:
            for begin in range(0, len(content), 40):
                file.write(content[begin : begin + 40])
                file.flush()
                time.sleep(0.05)

    (log / "1.csv").write_text(content[:20])
    writer = threading.Thread(target=slowly)
    writer.start()
    source.wait()
    writer.join()
    assert rows_of(source.train()) == list(range(44))
    assert [os.path.basename(name) for name in source.summary["files"][:3]] == ["0.csv", "1.csv", "2.csv"]


def test_files_may_go_once_they_are_trained_on(log):
    for number in range(3):
        write(log / f"{number}.csv", number * 10, 10)
    source = source_of(log)
    (log / "0.csv").unlink()
    source.check(10)
    assert rows_of(source.train(10)) == list(range(10, 30))
    assert rows_of(source.train()) == list(range(10, 30))
    with pytest.raises(InputError, match=r"data\.path: .*0\.csv has gone before it was trained on"):
        source.check(9)
    again = source_of(log)
    (log / "2.csv").unlink()
    assert rows_of(again.train()) == []
    assert again.train().element_spec == source.train(10).element_spec
    with pytest.raises(InputError, match=r"2\.csv has gone before it was trained on"):
        again.check(10)


def test_a_file_must_stay_as_it_is_but_may_be_touched(log):
    write(log / "0.csv", 0, 10)
    write(log / "1.csv", 10, 10)
    source = source_of(log)
    os.utime(log / "0.csv")
    source.check(0)
    write(log / "0.csv", 20, 10)  # of the same length? no: 20 to 29 have two digits
    with pytest.raises(InputError, match=r"0\.csv has changed since it was taken"):
        source.check(15)
    with pytest.raises(InputError, match=r"0\.csv has changed since it was taken"):
        source_of(log)
    write(log / "0.csv", 0, 10)
    write(log / "1.csv", 30, 10)  # as long as before
    with pytest.raises(InputError, match=r"1\.csv has changed since it was taken"):
        source_of(log)


def test_malformed_rows_count_over_the_stream(log, capsys):
    write(log / "0.csv", 0, 60)
    source = source_of(log, max_malformed=0.05)
    write(log / "1.csv", 60, 10, bad={61, 62, 63})
    source.wait()
    assert "3 malformed rows are left out: " in capsys.readouterr().out
    assert source.train_rows == 67
    assert source.summary["malformed"] == 3
    write(log / "2.csv", 70, 10, bad=range(70, 72))
    with pytest.raises(InputError, match=r"data\.max_malformed: 5 of the first 80 rows are malformed, above 5\.00%"):
        source.wait()
    write(log / "2.csv", 70, 10)  # repaired
    again = source_of(log, max_malformed=0.05)
    again.wait()
    assert again.train_rows == 77


def test_other_held_out_rows_make_another_stream(log):
    write(log / "0.csv", 0, 10)
    first = source_of(log)
    write(log.parent / "held_out.csv", 2000, 5)
    second = source_of(log)
    assert first.fingerprint not in (second.fingerprint, *second.earlier_fingerprints)


def test_what_does_not_come_is_a_line(log):
    with pytest.raises(InputError, match=r"no file with rows has come under .*log for 0\.6 seconds"):
        source_of(log)
    begun = time.monotonic()
    with pytest.raises(InputError, match=r"data\.path: no such file or folder: .*nowhere"):
        source_of(log, path=str(log / "nowhere"))
    assert time.monotonic() - begun < 0.5
    (log.parent / "work/stream.json").write_text("{")
    with pytest.raises(InputError, match=r"stream\.json must hold the files of a stream"):
        source_of(log)


def test_follows_parquet_by_a_glob(log, tmp_path):
    def parquet(name, first):
        numbers = np.arange(first, first + 10)
        table = pa.table({"word": [f"w{n % 3}" for n in numbers], "row": numbers, "label": numbers % 2})
        pq.write_table(table, log / f".{name}")
        os.replace(log / f".{name}", log / name)

    parquet("held_out", 1000)
    (log / "held_out").replace(tmp_path / "held_out.csv")
    parquet("a.parquet", 0)
    source = source_of(log, source="parquet", path=f"{log}/*.parquet")
    parquet("b.parquet", 10)
    source.wait()
    assert rows_of(source.train(5)) == list(range(5, 20))
