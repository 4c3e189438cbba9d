"""Checkpoints: the position comes back, and another model's checkpoint is refused."""

from __future__ import annotations

import pathlib
import resource

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs.callbacks.checkpoints import Checkpoints
from smooth_recs.errors import InputError
from smooth_recs.models import generation

pytestmark = pytest.mark.both_generations

X = np.random.default_rng(1).normal(size=(64, 3)).astype(np.float32)
Y = (X[:, :1] > 0).astype(np.float32)


def model(units: int = 4) -> tf.keras.Model:
    made = tf.keras.Sequential([tf.keras.layers.Dense(units), tf.keras.layers.Dense(1)])
    made.compile(generation.Adagrad(0.1), "mse")
    made(X)
    return made


def test_weights_slots_and_steps_come_back(tmp_path):
    first = model()
    saved = []
    checkpoints = Checkpoints(first, str(tmp_path), on_save=saved.append)
    assert checkpoints.restore() == 0
    first.fit(X, Y, batch_size=16, epochs=3, verbose=0, callbacks=[checkpoints])
    assert saved == [12]
    second = model()
    again = Checkpoints(second, str(tmp_path))
    assert again.restore() == 12
    for one, other in zip(first.weights, second.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    first.fit(X, Y, batch_size=16, verbose=0, shuffle=False)
    second.fit(X, Y, batch_size=16, verbose=0, shuffle=False, callbacks=[again])
    assert again.steps_done == 16
    for one, other in zip(first.weights, second.weights, strict=True):  # equal only where the accumulators came back
        np.testing.assert_array_equal(one, other)


NAMES = [
    "run[1]",
    "a*b",
    "a?b",
    "a\\b",
    "[",
    "x.keras",
    "model.csv",
    "v1,b",
    "a b",
    "50%",
    "%s",
    "\N{GREEK SMALL LETTER BETA}",
    "7",
    "~",
]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_of_a_folder_stops_a_run_or_touches_another_one(tmp_path, name):
    # What TensorFlow would take the name for, were it a pattern.
    others = [tmp_path / other / "checkpoints" / "ckpt-1.index" for other in ("run1", "axb", "ab")]
    for other in others:
        other.parent.mkdir(parents=True)
        other.touch()
    folder = tmp_path / name / "checkpoints"
    first = model()
    checkpoints = Checkpoints(first, str(folder), steps=1)
    first.fit(X, Y, batch_size=16, verbose=0, callbacks=[checkpoints])
    assert [path.name for path in sorted(folder.glob("*.index"))] == ["ckpt-2.index", "ckpt-3.index", "ckpt-4.index"]
    assert all(other.exists() for other in others)
    second = model()
    again = Checkpoints(second, str(folder))
    assert again.restore() == 4
    for one, other in zip(first.weights, second.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_seconds_between_two(tmp_path):
    often, seldom = [], []
    made = model()
    callbacks = [
        Checkpoints(made, str(tmp_path / "often"), seconds=0, on_save=often.append),
        Checkpoints(made, str(tmp_path / "seldom"), seconds=1e9, on_save=seldom.append),
    ]
    made.fit(X, Y, batch_size=32, epochs=1, verbose=0, callbacks=callbacks)
    assert often == [1, 2]  # the last one at the end
    assert seldom == [2]


@pytest.mark.parametrize("other", [lambda: model(5), lambda: tf.keras.Sequential([model(), tf.keras.layers.Dense(1)])])
def test_another_model_is_refused(tmp_path, other):
    Checkpoints(model(), str(tmp_path)).save()
    wrong = other()
    wrong(X)
    with pytest.raises(InputError, match="is not of this model"):
        Checkpoints(wrong, str(tmp_path)).restore()


def cut(path: pathlib.Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: pathlib.Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [cut, flip, pathlib.Path.unlink, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("ending", ["index", "data-00000-of-00001"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path, capsys, harm, ending):
    made = model()
    made.fit(X, Y, batch_size=32, epochs=1, verbose=0, callbacks=[Checkpoints(made, str(tmp_path), seconds=0)])
    assert {path.name for path in tmp_path.glob("*.index")} == {"ckpt-1.index", "ckpt-2.index"}
    harm(tmp_path / f"ckpt-2.{ending}")
    again = model()
    assert Checkpoints(again, str(tmp_path)).restore() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"checkpoint {tmp_path}/ckpt-2 cannot be read, the one before it is tried: ")
    np.testing.assert_array_equal(again.optimizer.iterations, 1)
    harm(tmp_path / f"ckpt-1.{ending}")
    with pytest.raises(InputError, match=r"no checkpoint in .* can be read"):
        Checkpoints(model(), str(tmp_path)).restore()


def test_the_list_of_checkpoints_may_be_lost(tmp_path):
    made = model()
    made.fit(X, Y, batch_size=4, epochs=1, verbose=0, callbacks=[Checkpoints(made, str(tmp_path), seconds=0)])
    (tmp_path / "checkpoint").write_text("model_checkpo")
    assert Checkpoints(model(), str(tmp_path)).restore() == 16  # ckpt-16, which is above ckpt-9


def test_a_limit_on_the_size_of_files_ends_the_training_and_is_named(tmp_path):
    made = model(units=20_000)  # some 300 kB
    checkpoints = Checkpoints(made, str(tmp_path), seconds=0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"ckpt-\d+ cannot be written: .* \(the limit is 100,000 bytes: ulimit -f\)"):
            made.fit(X, Y, batch_size=32, verbose=0, callbacks=[checkpoints])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
