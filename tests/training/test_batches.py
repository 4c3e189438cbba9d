"""What can be trained of a log that still grows: the same steps in the end, whenever its rows came."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from smooth_recs.run import stretches
from smooth_recs.run.stretches import Stretch

from smooth_recs import config as configs
from smooth_recs.errors import InputError


class Growing:
    """A stream that has so many rows after each wait."""

    def __init__(self, counts):
        self.counts, self.ended, self.checked = list(counts), False, []
        self.train_rows = self.counts.pop(0)

    def wait(self, on_idle):
        if self.counts:
            self.train_rows = self.counts.pop(0)
        else:
            self.ended = True

    def check(self, row):
        self.checked.append(row)


def followed(**train):
    data = configs.Data(
        source="csv", path="log", eval_path="held_out", schema=None, follow_seconds=1.0, shuffle_window=100
    )
    return configs.Config(data=data, train=configs.Train(batch_size=30, **train))


def of_stream(counts, config=None, done=0, executed=2, ahead=False):
    source = Growing(counts)
    found = stretches.of_stream(config or followed(), source, done, executed=executed, ahead=ahead, on_idle=list)
    return list(found), source


def test_a_stream_by_hand():
    """Windows of 100 rows, batches of 30, two steps at a time: 250 rows have 200 that are shuffled, 6 whole batches."""
    found, source = of_stream([250, 290, 415])
    assert found == [Stretch(0, 0, 6, False), Stretch(0, 6, 12, False), Stretch(0, 12, 14)]
    assert source.checked == [0, 100, 300]  # the window that step 6 (row 180) and step 12 (row 360) lie in
    found, _ = of_stream([250, 290, 415], ahead=True)  # the last whole window is predicted, and waits
    assert found == [Stretch(0, 0, 2, False), Stretch(0, 2, 10, False), Stretch(0, 10, 14)]
    assert of_stream([250, 290, 415], done=14)[0] == []
    assert of_stream([60])[0] == [Stretch(0, 0, 2)]
    one_by_one = dataclasses.replace(followed(), data=dataclasses.replace(followed().data, shuffle_window=1))
    assert of_stream([250], one_by_one)[0] == [Stretch(0, 0, 8, False), Stretch(0, 8, 9)]


@settings(max_examples=200, deadline=None)
@given(
    counts=st.lists(st.integers(1, 700), min_size=1, max_size=6).map(sorted),
    executed=st.integers(1, 9),
    ahead=st.booleans(),
    done=st.integers(0, 3),
)
def test_every_step_once_in_whole_executions_of_whole_windows(counts, executed, ahead, done):
    done = min(done * executed, -(-counts[-1] // 30))
    found, _ = of_stream(counts, done=done, executed=executed, ahead=ahead)
    assert [step for stretch in found for step in range(stretch.start, stretch.stop)] == list(
        range(done, -(-counts[-1] // 30))
    )
    assert [stretch.ends_epoch for stretch in found[:-1]] == [False] * (len(found) - 1)
    for stretch in found[:-1]:
        assert stretch.stop % executed == 0
        assert stretch.stop * 30 <= counts[-1] // 100 * 100 - 100 * ahead
    assert all(stretch.ends_epoch for stretch in found[-1:])


def test_epochs():
    config = configs.Config(train=configs.Train(epochs=3))
    assert list(stretches.of_epochs(config, 10, 0)) == [Stretch(0, 0, 10), Stretch(1, 0, 10), Stretch(2, 0, 10)]
    assert list(stretches.of_epochs(config, 10, 14)) == [Stretch(1, 4, 10), Stretch(2, 0, 10)]
    assert list(stretches.of_epochs(config, 10, 30)) == []


def test_the_last_step_of_an_epoch_may_stand_apart():
    config = configs.Config(train=configs.Train(epochs=2))
    first, last = Stretch(1, 0, 9, ends_epoch=False), Stretch(1, 9, 10)
    assert list(stretches.of_epochs(config, 10, 9, last_apart=True)) == [Stretch(0, 9, 10), first, last]
    assert next(stretches.of_epochs(config, 10, 4, last_apart=True)) == Stretch(0, 4, 9, ends_epoch=False)


@pytest.mark.parametrize(
    ("section", "field", "value", "words"),
    [
        ("data", "source", "criteo", "data.source must be one of csv, tfrecord, parquet"),
        ("data", "eval_path", "", "data.eval_path must be files of held-out rows with data.follow_seconds, got ''"),
        ("data", "examples", 10, "data.examples must be 0"),
        ("train", "epochs", 2, "train.epochs must be 1 with data.follow_seconds, got 2"),
        ("train", "patience", 3, "train.patience must be 0"),
        ("train", "final_learning_rate_share", 0.1, "train.final_learning_rate_share must be 1"),
        ("ensemble", "decorrelation", (0.0, 1.0), "ensemble.decorrelation must be one number"),
        ("ensemble", "codistillation", (0.0, 1.0), "ensemble.codistillation must be one number"),
        ("distillation", "weight", (0.5, 1.0), "distillation.weight must be one number"),
        ("distillation", "teachers", ("export",), "distillation.where must be step"),
    ],
)
def test_what_does_not_go_with_a_stream_is_a_line(section, field, value, words):
    config = followed()
    stretches.check(config, "one_device")
    setattr(getattr(config, section), field, value)
    with pytest.raises(InputError, match=words):
        stretches.check(config, "one_device")


def test_a_stream_is_for_one_process():
    with pytest.raises(InputError, match=r"distribution\.strategy must be one of a single process .*multi_worker"):
        stretches.check(followed(), "multi_worker_mirrored")
