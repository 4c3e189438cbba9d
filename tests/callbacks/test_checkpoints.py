"""Checkpoints: the position comes back, and another model's checkpoint is refused."""

from __future__ import annotations

import pathlib
import resource

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import config
from smooth_recs.callbacks import checkpoints as checkpoints_module
from smooth_recs.callbacks.checkpoints import Checkpoints
from smooth_recs.data.encoding import Encoder
from smooth_recs.errors import InputError
from smooth_recs.layers import embedding_tables
from smooth_recs.models import from_config, generation
from smooth_recs.schema import Categorical, Schema

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


ROWS = tf.data.Dataset.from_tensor_slices(({"user": tf.range(64) % 7}, Y[:, 0])).batch(16)


def ranking(optimizer: str, embedding_dim: int = 4):
    """A ranking model, built, with what its optimizers keep."""
    settings = config.Config(
        model=config.Model(hidden_units=(4,), embedding_dim=embedding_dim),
        train=config.Train(embedding_optimizer=optimizer),
    )
    made = from_config.model(settings, Encoder(Schema((Categorical("user", "identity", 1_000, "int64"),))))
    made.compile(optimizer=from_config.optimizer(made, settings.train, 10))
    made({"user": tf.zeros([1], tf.int64)})
    made.make_slots()
    return made


def kept_rows(made) -> list[tuple[int, ...]]:
    """The shapes of the table and its slots as they are in memory."""
    (table,) = made.embedding_variables
    variables = [embedding_tables.local(each) for each in (table, *checkpoints_module._slots(made.optimizer, table))]
    return [tuple(tf.raw_ops.ReadVariableOp(resource=v.handle, dtype=v.dtype).shape) for v in variables]


@pytest.mark.parametrize(("optimizer", "variables"), [("adagrad", 2), ("adam", 3), ("sgd", 1)])
def test_large_tables_give_up_their_memory_while_a_checkpoint_is_read(tmp_path, monkeypatch, optimizer, variables):
    first, second = ranking(optimizer), ranking(optimizer)
    first.fit(ROWS, verbose=0, callbacks=[Checkpoints(first, str(tmp_path))])
    found, restored = [], checkpoints_module._restore

    def restore(*arguments):
        found.append(kept_rows(second))
        restored(*arguments)

    monkeypatch.setattr(checkpoints_module, "_restore", restore)
    monkeypatch.setattr(embedding_tables, "LARGE_BYTES", 1_002 * 4 * 4)
    assert Checkpoints(second, str(tmp_path)).restore() == 4
    assert found == [[(0, 4)] * variables]
    for made in (first, second):
        made.fit(ROWS, verbose=0)
    for one, other in zip(first.weights, second.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    monkeypatch.setattr(embedding_tables, "LARGE_BYTES", 1_002 * 4 * 4 + 1)
    assert Checkpoints(second, str(tmp_path)).restore() == 4
    assert found[1] == [(1_002, 4)] * variables


def test_a_model_without_its_tables_is_not_trained(tmp_path, monkeypatch):
    """Where the only checkpoint cannot be read although it has an index, nothing is left to begin with."""
    made = ranking("adagrad")
    made.fit(ROWS, verbose=0, callbacks=[Checkpoints(made, str(tmp_path))])
    (tmp_path / "checkpoint").unlink()
    flip(tmp_path / "ckpt-4.data-00000-of-00001")
    assert Checkpoints(ranking("adagrad"), str(tmp_path)).restore() == 0
    monkeypatch.setattr(embedding_tables, "LARGE_BYTES", 1)
    with pytest.raises(InputError, match=r"no checkpoint in .* can be read"):
        Checkpoints(ranking("adagrad"), str(tmp_path)).restore()
    (tmp_path / "ckpt-4.index").unlink()
    fresh = ranking("adagrad")
    assert Checkpoints(fresh, str(tmp_path)).restore() == 0
    assert kept_rows(fresh) == [(1_002, 4)] * 2
