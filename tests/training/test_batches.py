"""What is left to be trained: of epochs, and of a log that still grows, the same steps whenever its rows came."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs import config as configs
from smooth_recs.cluster.task import Task
from smooth_recs.data.stream import FollowedSource
from smooth_recs.errors import InputError
from smooth_recs.training.batches import Batches, Segment, check_stream
from smooth_recs.training.role import Role


class Growing(FollowedSource):
    """A stream that has so many rows after each wait."""

    ended = False

    def __init__(self, counts):
        self.counts, self.checked = list(counts), []
        self.train_rows = self.counts.pop(0)

    def wait(self, on_idle):
        on_idle()
        if self.counts:
            self.train_rows = self.counts.pop(0)
        else:
            self.ended = True

    def check(self, row):
        self.checked.append(row)


def followed(shuffle_window=100, **train):
    data = configs.Data(
        source="csv", path="log", eval_path="held_out", schema=None, follow_seconds=1.0, shuffle_window=shuffle_window
    )
    return configs.Config(data=data, train=configs.Train(batch_size=30, **train))


def of_stream(counts, done=0, executed=2, ahead=False, shuffle_window=100):
    source = Growing(counts)
    config = followed(shuffle_window, steps_per_execution=executed, progressive=ahead)
    return list(Batches(config, "", source).remaining(done)), source


def of_epochs(epochs, rows, role=None):
    source = SimpleNamespace(train_rows=rows)
    return Batches(configs.Config(train=configs.Train(batch_size=30, epochs=epochs)), "", source, role)


def test_a_stream_by_hand():
    """Windows of 100 rows, batches of 30, two steps at a time: 250 rows have 200 that are shuffled, 6 whole batches."""
    found, source = of_stream([250, 290, 415])
    assert found == [Segment(0, 0, 6, False), Segment(0, 6, 12, False), Segment(0, 12, 14)]
    assert source.checked == [0, 100, 300]  # the window that step 6 (row 180) and step 12 (row 360) lie in
    found, _ = of_stream([250, 290, 415], ahead=True)  # the last whole window is predicted, and waits
    assert found == [Segment(0, 0, 2, False), Segment(0, 2, 10, False), Segment(0, 10, 14)]
    assert of_stream([250, 290, 415], done=14)[0] == []
    assert of_stream([60])[0] == [Segment(0, 0, 2)]
    assert of_stream([250], shuffle_window=1)[0] == [Segment(0, 0, 8, False), Segment(0, 8, 9)]


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
    assert [step for segment in found for step in range(segment.start, segment.stop)] == list(
        range(done, -(-counts[-1] // 30))
    )
    assert [segment.ends_epoch for segment in found[:-1]] == [False] * (len(found) - 1)
    for segment in found[:-1]:
        assert segment.stop % executed == 0
        assert segment.stop * 30 <= counts[-1] // 100 * 100 - 100 * ahead
    assert all(segment.ends_epoch for segment in found[-1:])


def test_whoever_waits_for_a_stream_is_told():
    idle = []
    list(Batches(followed(), "", Growing([60, 90])).remaining(0, on_idle=lambda: idle.append(len(idle))))
    assert idle == [0, 1]


def test_epochs():
    batches = of_epochs(3, rows=295)
    assert (batches.steps_per_epoch, batches.total_steps) == (10, 30)
    assert list(batches.remaining(0)) == [Segment(0, 0, 10), Segment(1, 0, 10), Segment(2, 0, 10)]
    assert list(batches.remaining(14)) == [Segment(1, 4, 10), Segment(2, 0, 10)]
    assert list(batches.remaining(30)) == []
    assert [batches.rows_in(steps) for steps in (0, 9, 10, 11, 30)] == [0, 270, 295, 325, 3 * 295]


class Devices(Role):
    """A process with two devices that share each batch."""

    strategy = SimpleNamespace(num_replicas_in_sync=2)


def test_the_last_step_of_an_epoch_stands_apart_where_its_smaller_batch_is_shared():
    batches = of_epochs(2, rows=295, role=Devices())
    first, last = Segment(1, 0, 9, ends_epoch=False), Segment(1, 9, 10)
    assert list(batches.remaining(9)) == [Segment(0, 9, 10), first, last]
    assert next(batches.remaining(4)) == Segment(0, 4, 9, ends_epoch=False)
    assert list(of_epochs(1, rows=300, role=Devices()).remaining(0)) == [Segment(0, 0, 10)]
    in_step = Devices(task=Task("worker", 0, {"worker": ("a:2222", "b:2222")}))
    assert list(of_epochs(1, rows=295, role=in_step).remaining(0)) == [Segment(0, 0, 10)]


def test_steps_per_execution_are_those_that_the_role_allows():
    servers = Task("chief", 0, {"chief": ("a:2222",), "worker": ("b:2222",), "ps": ("c:2222",)})
    in_step = Task("worker", 0, {"worker": ("a:2222", "b:2222")})
    asked = configs.Train().steps_per_execution
    assert asked > 10
    for role, executed in ((Role(), asked), (Role(task=in_step), 1), (Role(task=servers), 10)):
        assert of_epochs(1, rows=30 * 1000, role=role).steps_per_execution == executed
    assert of_epochs(1, rows=60).steps_per_execution == 2


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
    check_stream(config, "one_device")
    setattr(getattr(config, section), field, value)
    with pytest.raises(InputError, match=words):
        check_stream(config, "one_device")


def test_a_stream_is_for_one_process():
    with pytest.raises(InputError, match=r"distribution\.strategy must be one of a single process .*multi_worker"):
        check_stream(followed(), "multi_worker_mirrored")
