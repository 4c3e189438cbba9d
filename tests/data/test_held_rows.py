"""Rows that several runs share: the same to the bit as those that each would make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import config
from smooth_recs.data import held_rows, presets, synthetic
from smooth_recs.data.held_rows import HeldSource, kept_arrays
from smooth_recs.data.presets import open_source
from smooth_recs.data.synthetic import SyntheticSource
from smooth_recs.errors import InputError

DATA = config.Data(source="synthetic", examples=50_000, eval_examples=3_000, validation_fraction=0.1)


def assert_same(found: Any, expected: Any) -> None:
    widths, others = (
        tf.nest.map_structure(lambda spec: spec.shape[1:].as_list(), rows.element_spec) for rows in (found, expected)
    )
    assert widths == others  # models are made for them
    one, other = ({} for _ in range(2))
    for rows, into in ((found, one), (expected, other)):
        chunks = list(rows.as_numpy_iterator())
        into |= tf.nest.map_structure(lambda *parts: np.concatenate(parts), *chunks) if chunks else {}
    tf.nest.map_structure(np.testing.assert_array_equal, one, other)
    tf.nest.map_structure(lambda a, b: np.testing.assert_equal(a.dtype, b.dtype), one, other)


def test_rows_are_those_of_the_source_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = SyntheticSource(DATA)
    expected = [plain.train(), plain.train(44_000), plain.holdout(), plain.holdout(raw=True), plain.validation()]
    counts = ("train_rows", "eval_rows", "validation_rows", "fingerprint", "summary", "schema")
    for again in (False, True):
        if again:
            monkeypatch.setattr(synthetic, "generate", None)  # no row is made any more
        held = open_source(DATA, str(tmp_path))
        assert type(held) is HeldSource
        assert [getattr(held, name) for name in counts] == [getattr(plain, name) for name in counts]
        found = [held.train(), held.train(44_000), held.holdout(), held.holdout(raw=True), held.validation()]
        rows = [sum(len(chunk["label"]) for chunk in part.as_numpy_iterator()) for part in found]
        assert rows == [45_000, 1_000, 3_000, 3_000, 5_000]
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    monkeypatch.undo()
    assert_same(held.train(40_000, raw=True), plain.train(40_000, raw=True))


def test_a_run_alone_or_over_a_long_log_makes_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(open_source(DATA, str(tmp_path / "cache"))) is SyntheticSource
    assert not (tmp_path / "cache").exists()
    monkeypatch.setattr(presets, "MOST_HELD_ROWS", 44_999)
    assert type(open_source(DATA, str(tmp_path))) is SyntheticSource
    monkeypatch.setattr(presets, "MOST_HELD_ROWS", 45_000)
    assert type(open_source(DATA, str(tmp_path))) is HeldSource


def test_arrays_are_made_once_and_kept_with_texts(tmp_path: Path) -> None:
    path, made = str(tmp_path / "cache" / "kept.npz"), []

    def make() -> Any:
        made.append(1)
        return {"text": np.array([b"a\0", b"", b"\xff"], object), "number": np.array([[1.5], [np.nan]], np.float32)}

    first, second = kept_arrays(path, make), kept_arrays(path, make)
    assert len(made) == 1
    for found in (first, second):
        assert found["text"].tolist() == [b"a\0", b"", b"\xff"]
        np.testing.assert_array_equal(found["number"], np.array([[1.5], [np.nan]], np.float32))
    assert second["number"].dtype == np.float32
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[:-30])
    with pytest.raises(InputError, match=r"kept\.npz does not hold rows of the data: delete it"):
        kept_arrays(path, make)


def test_arrays_that_take_too_much_room_are_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_rows, "MOST_BYTES", 79)
    for _ in range(2):
        assert kept_arrays(str(tmp_path / "kept.npz"), lambda: {"x": np.arange(10)})["x"].sum() == 45
    assert not (tmp_path / "kept.npz").exists()
    monkeypatch.setattr(held_rows, "MOST_BYTES", 80)
    kept_arrays(str(tmp_path / "kept.npz"), lambda: {"x": np.arange(10)})
    assert (tmp_path / "kept.npz").exists()
