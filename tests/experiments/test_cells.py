"""Cells of a grid, from real processes: each is trained once, whatever is killed and however often."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from source_imports import ROOT

from smooth_recs import _files, _locks
from smooth_recs.config import Config, Data, Model, Train
from smooth_recs.errors import InputError
from smooth_recs.experiments import cells, training_processes
from smooth_recs.experiments.cells import Cell, Folder
from smooth_recs.workdir import manifest

STEPS = 6
LOG = Data(source="criteo", path="day_*.gz")
# Takes the flags of the train binary. Like it, goes on where it was, and renames its result into place. Every start and
# every step leave a line: a step that is repeated, or done by two processes at once, shows. Failures are by seed, and
# where the run that it is to start from is not finished.
TRAIN = f"""
import json, os, sys, time
flags = dict(flag.lstrip("-").split("=", 1) for flag in sys.argv[1:])
config = json.load(open(flags["config"]))
seed, needed = config["seed"], config["train"]["warm_start"]
if needed and not (os.path.isabs(needed) and os.path.exists(os.path.join(needed, "metrics.json"))):
    sys.exit(1)
if seed > 100:
    print("some talk")
    print("error: no such file: x", file=sys.stderr)
    sys.exit(seed - 100) if seed < 200 else os.kill(os.getpid(), 9)
os.makedirs(flags["workdir"], exist_ok=True)
trace = os.path.join(flags["workdir"], "trace")
def note(line):
    with open(trace, "a") as file:
        file.write(line + "\\n")
done = open(trace).read().count("step") if os.path.exists(trace) else 0
note("start")
for step in range(done, {STEPS}):
    time.sleep(0.05)
    note(f"step {{step}}")
with open(trace + "-new", "w") as file:
    json.dump({{"replicas": [{{}}], "pd": {{"relative": seed / 100}}}}, file)
os.rename(trace + "-new", os.path.join(flags["workdir"], "metrics.json"))
"""
# Like a binary: it does not load TensorFlow.
DRIVER = """
import sys
from smooth_recs.config import Config, Train
from smooth_recs.experiments import cells, training_processes
training_processes.PROGRAM = [sys.argv[1]]
chained = sys.argv[4:] == ["chained"]
run = []
for seed in range(int(sys.argv[3])):
    needs = tuple(run[-1:]) if chained else ()
    config = Config(seed=seed, train=Train(warm_start="".join("@" + cell.key for cell in needs)))
    run.append(cells.Cell(f"seed {seed}", config, needs))
cells.Folder(sys.argv[2]).run(run)
"""


def grid(*seeds):
    return [Cell(f"seed {seed}", Config(seed=seed)) for seed in seeds]


@pytest.fixture(autouse=True)
def program(tmp_path, monkeypatch):
    path = tmp_path / "train.py"
    path.write_text(TRAIN)
    monkeypatch.setattr(training_processes, "PROGRAM", (str(path),))
    monkeypatch.setattr(cells, "_TICK_SECONDS", 0.02)
    return path


@pytest.fixture
def start(tmp_path, program):
    """Starts a process, in a group of its own, that trains seeds 0 to n - 1 in `tmp_path / "grid"`.

    `chained` ones start from the one before.
    """
    folder = tmp_path / "smooth_recs" / "bin"
    folder.mkdir(parents=True)
    (folder / "driver.py").write_text(DRIVER)
    started = []

    def run(count, *how):
        command = [sys.executable, folder / "driver.py", program, tmp_path / "grid", str(count), *how]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT)}, start_new_session=True
        )
        started.append(process)
        return process

    yield run
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def traces(folder):
    """What the processes of each cell noted, in order."""
    return {path.parent.name: path.read_text().splitlines() for path in (folder / "cells").glob("*/trace")}


def all_steps():
    return [f"step {step}" for step in range(STEPS)]


def wait_for(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_equal_configurations_have_one_key_and_any_field_changes_it():
    plain = Cell("a", Config())
    assert Cell("b", Config()).key == plain.key
    assert len(plain.key) == 16
    others = [
        Config(seed=2),
        Config(data=Data(shuffle_window=7)),
        Config(model=Model(beta=0.2)),
        Config(model=Model(hidden_units=(256,))),
        Config(model=Model(activation={"class_name": "SmeLU", "config": {"beta": 0.5}})),
    ]
    assert len({plain.key, *(Cell("c", config).key for config in others)}) == 6


def test_the_key_follows_the_generation_in_which_a_cell_is_trained(monkeypatch):
    """Where the environment does not choose, the train binary takes tf_keras, whatever this process has."""

    def key(value):
        if value is None:
            monkeypatch.delenv("TF_USE_LEGACY_KERAS", raising=False)
        else:
            monkeypatch.setenv("TF_USE_LEGACY_KERAS", value)
        return Cell("one", Config(seed=1)).key

    assert key(None) == key("1") == key("True")
    assert key("0") != key("1")


def test_the_key_is_the_same_in_another_process(tmp_path, start):
    start(1).wait(timeout=60)
    assert list(traces(tmp_path / "grid")) == [Cell("seed 0", Config(seed=0)).key]


def test_every_cell_is_trained_once_and_never_again(tmp_path, capsys):
    folder, three = Folder(str(tmp_path / "grid")), grid(3, 1, 2)
    folder.run([*three, Cell("seed 1 again", Config(seed=1))])
    assert [folder.metrics(cell)["pd"]["relative"] for cell in three] == [0.03, 0.01, 0.02]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[:2] for line in lines] == [
        ["1 of 3  seed 3", " PD 3.00%"],
        ["2 of 3  seed 1", " PD 1.00%"],
        ["3 of 3  seed 2", " PD 2.00%"],
    ]
    folder.run(three)
    assert list(traces(tmp_path / "grid").values()) == [["start", *all_steps()]] * 3
    assert capsys.readouterr().out == ""


def test_the_next_cell_begins_when_one_has_ended(tmp_path, monkeypatch):
    """Not when the bar, which here moves once in ten minutes, is drawn again."""
    monkeypatch.setattr(cells, "_TICK_SECONDS", 600.0)
    folder, begun = Folder(str(tmp_path / "grid"), jobs=2), time.monotonic()
    folder.run(grid(1, 2, 3))
    assert time.monotonic() - begun < 60
    assert all(map(folder.is_finished, grid(1, 2, 3)))


def test_a_cell_keeps_the_configuration_it_was_trained_with(tmp_path):
    (cell,) = grid(1)
    Folder(str(tmp_path)).run([cell])
    kept = json.loads((tmp_path / "cells" / f"{cell.key}.json").read_text())
    assert Config.from_dict(kept) == cell.config


@pytest.mark.parametrize("group", [False, True], ids=["the command alone", "its training too"])
def test_a_killed_command_is_taken_up_where_it_was(tmp_path, start, group):
    first = start(3)
    wait_for(
        lambda: any("step 2" in trace for trace in list(traces(tmp_path / "grid").values())[1:])
    )  # in the second cell
    (os.killpg if group else os.kill)(first.pid, signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    before = traces(tmp_path / "grid")
    finished = [path.parent.name for path in (tmp_path / "grid" / "cells").glob("*/metrics.json")]
    second = start(3)
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 0
    after = traces(tmp_path / "grid")
    assert len(after) == 3
    for key, trace in after.items():
        assert [line for line in trace if line != "start"] == all_steps()  # nothing lost, nothing twice
        assert trace.count("start") == (2 if group and key in before and key not in finished else 1)
    assert all(after[key] == before[key] for key in finished)
    assert "3 of 3" in output


def test_kills_at_any_time_lose_nothing(tmp_path, start):
    random.seed(4)
    for _ in range(6):
        process = start(4)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(random.uniform(0.2, 1.2))
        if process.poll() is None:
            (os.killpg if random.random() < 0.5 else os.kill)(process.pid, signal.SIGKILL)
    last = start(4)
    assert last.wait(timeout=60) == 0
    found = traces(tmp_path / "grid").values()
    assert [[line for line in trace if line != "start"] for trace in found] == [all_steps()] * 4


def test_several_commands_share_a_folder(tmp_path, start):
    processes = [start(6) for _ in range(3)]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert list(traces(tmp_path / "grid").values()) == [["start", *all_steps()]] * 6
    labels = [line.split(",")[0].split("  ")[1] for output in outputs for line in output.splitlines()]
    assert sorted(labels) == [f"seed {seed}" for seed in range(6)]
    assert sum(bool(output) for output in outputs) > 1, "one command trained all"


def chain(*seeds):
    """Cells of which each starts from the one before."""
    found = []
    for seed in seeds:
        needs = tuple(found[-1:])
        config = Config(seed=seed, train=Train(warm_start="".join(f"@{cell.key}" for cell in needs)))
        found.append(Cell(f"seed {seed}", config, needs))
    return found


def test_what_a_cell_needs_is_trained_first_and_once(tmp_path, capsys):
    folder, (first, second, third) = Folder(str(tmp_path / "grid")), chain(1, 2, 3)
    assert [line.split()[-1] for line in folder.outline([third]).splitlines()[:-1]] == ["1", "2", "3"]
    folder.run([third, second, Cell("seed 2, started from 1 too", second.config, second.needs), *grid(4)])
    ends = [line.split(",")[0].split("  ")[1] for line in capsys.readouterr().out.splitlines()]
    assert ends == ["seed 1", "seed 2", "seed 3", "seed 4"]
    assert list(traces(tmp_path / "grid").values()) == [["start", *all_steps()]] * 4
    given = json.loads((tmp_path / "grid" / "cells" / f"{third.key}.json").read_text())
    assert given["train"]["warm_start"] == os.path.realpath(folder.workdir(second))
    assert folder.config(first)["train"]["warm_start"] == ""


def test_the_folder_may_be_reached_by_another_path(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    _, second = chain(1, 2)
    assert Folder(str(tmp_path / "link")).config(second) == Folder(str(tmp_path)).config(second)


def test_several_commands_share_cells_that_need_each_other(tmp_path, start):
    processes = [start(3, "chained") for _ in range(2)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0]
    assert list(traces(tmp_path / "grid").values()) == [["start", *all_steps()]] * 3


def test_an_interrupted_command_stops_its_training(tmp_path, start):
    process = start(1)
    wait_for(lambda: any("step 1" in trace for trace in traces(tmp_path / "grid").values()))
    os.kill(process.pid, signal.SIGINT)
    process.wait(timeout=20)
    stopped = traces(tmp_path / "grid")
    time.sleep(0.3)
    assert traces(tmp_path / "grid") == stopped
    assert not list((tmp_path / "grid" / "cells").glob("*/metrics.json"))


def test_a_training_finds_the_modules_of_the_process_that_starts_it(tmp_path, program, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "only_here.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))
    program.write_text(f"import only_here\n{TRAIN}")
    folder, (cell,) = Folder(str(tmp_path)), grid(1)
    folder.run([cell])
    assert folder.is_finished(cell)


def test_the_number_of_a_process_that_is_gone_holds_nothing(tmp_path):
    folder, (cell,) = Folder(str(tmp_path)), grid(1)
    ended = subprocess.Popen(["true"])
    ended.wait()
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / f"{cell.key}.lock").write_text(f"{ended.pid}\n")
    folder.run([cell])
    assert folder.is_finished(cell)


@pytest.mark.parametrize(
    ("seed", "kind", "words"),
    [
        (102, InputError, "seed 102: no such file: x"),
        (101, RuntimeError, "seed 101: no such file: x (log: "),
        (200, RuntimeError, "seed 200: ended by SIGKILL (log: "),
    ],
)
def test_a_failure_says_which_cell_and_why(tmp_path, seed, kind, words):
    folder = Folder(str(tmp_path))
    with pytest.raises(kind) as raised:
        folder.run(grid(1, seed, 2))
    assert str(raised.value).startswith(words)
    assert [folder.is_finished(cell) for cell in grid(1, seed, 2)] == [True, False, False]


TOGETHER = """
import json, os, sys, time
flags = dict(flag.lstrip("-").split("=", 1) for flag in sys.argv[1:])
folder, seed = os.path.dirname(flags["workdir"]), json.load(open(flags["config"]))["seed"]
def note(what):
    os.makedirs(flags["workdir"], exist_ok=True)
    open(os.path.join(flags["workdir"], what), "w").close()
def noted(what):
    return sum(os.path.exists(os.path.join(folder, name, what)) for name in os.listdir(folder))
note("began")
end = time.monotonic() + 60
while noted("began") < 2 and time.monotonic() < end:
    time.sleep(0.01)
print("error: alone", file=sys.stderr) if noted("began") < 2 else None
"""


def test_as_many_trainings_go_on_at_a_time_as_there_are_jobs(tmp_path, program):
    """Each of the first two waits for the other; the third is started when one of them has ended."""
    written = """
with open(os.path.join(flags["workdir"], "most"), "w") as file:
    file.write(str(noted("began") - noted("metrics.json")))
with open(os.path.join(flags["workdir"], "metrics.json"), "w") as file:
    json.dump({"replicas": [{}], "pd": {"relative": 0.1}}, file)
"""
    program.write_text(TOGETHER + written)
    folder = Folder(str(tmp_path / "grid"), jobs=2)
    folder.run(grid(1, 2, 3, 4))
    assert all(map(folder.is_finished, grid(1, 2, 3, 4)))
    most = [int(path.read_text()) for path in (tmp_path / "grid" / "cells").glob("*/most")]
    assert max(most) == 2
    assert not list((tmp_path / "grid" / "cells").glob("*.lock"))


def test_with_several_jobs_what_a_cell_needs_is_trained_before_it(tmp_path):
    folder = Folder(str(tmp_path / "grid"), jobs=3)
    folder.run([*chain(1, 2, 3), *grid(4)])
    assert list(traces(tmp_path / "grid").values()) == [["start", *all_steps()]] * 4


def test_where_one_fails_those_beside_it_are_told_to_end(tmp_path, program):
    ending = """
import signal
if seed == 2:
    print("error: no such file: x", file=sys.stderr)
    sys.exit(2)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(note("saved") or 143))
time.sleep(60)
"""
    program.write_text(TOGETHER + ending)
    folder, cells_of = Folder(str(tmp_path / "grid"), jobs=2), grid(1, 2)
    with pytest.raises(InputError, match=r"^seed 2: no such file: x$"):
        folder.run(cells_of)
    assert os.path.exists(os.path.join(folder.workdir(cells_of[0]), "saved"))
    assert not list((tmp_path / "grid" / "cells").glob("*.lock"))


def test_jobs_are_at_least_one(tmp_path):
    with pytest.raises(InputError, match=r"^jobs must be at least 1, got 0$"):
        Folder(str(tmp_path), jobs=0)


def test_what_a_failed_cell_said_is_known_at_a_url_too(tmp_path, monkeypatch):
    program = tmp_path / "late.py"
    program.write_text("import sys, time; time.sleep(1); sys.exit(print('error: no such file: x') or 2)")
    monkeypatch.setattr(training_processes, "PROGRAM", (str(program),))
    with pytest.raises(InputError, match=r"no such file: x$"):
        Folder(f"file://{tmp_path}/runs").run(grid(1))


def test_a_folder_that_cannot_be_made_is_an_input_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"workdir .*file cannot be used"):
        Folder(str(tmp_path / "file")).run(grid(1))


def finished_in(folder, cell, seconds):
    """Leaves the files of a cell that took so long."""
    path = folder / "cells" / cell.key
    path.mkdir(parents=True)
    for file, at in ((path.with_suffix(".json"), 1000.0), (path / "metrics.json", 1000.0 + seconds)):
        file.touch()
        os.utime(file, (at, at))


def test_the_time_that_is_left_follows_from_the_median(tmp_path):
    folder, five = Folder(str(tmp_path)), grid(1, 2, 3, 4, 5)
    assert folder.seconds_left(five) is None
    for cell, seconds in zip(five, (60.0, 20.0, 30.0), strict=False):
        finished_in(tmp_path, cell, seconds)
    assert folder.seconds(five[0]) == 60.0
    assert folder.seconds_left(five) == 2 * 30.0
    assert folder.seconds_left([*five, *five]) == 2 * 30.0


def test_cells_of_another_kind_take_another_time(tmp_path):
    folder, (teacher, student) = Folder(str(tmp_path)), chain(1, 2)
    _, other_student = chain(3, 2)
    unlike = Cell("unlike", Config(model=Model(hidden_units=(8,))))
    for cell, seconds in ((teacher, 100.0), (student, 20.0)):
        finished_in(tmp_path, cell, seconds)
    assert folder.seconds_left([teacher, student, other_student]) == 100.0 + 20.0
    assert folder.seconds_left([teacher, student, unlike]) == 60.0


def test_an_outline_lists_every_cell_once(tmp_path):
    folder, three = Folder(str(tmp_path)), grid(1, 2, 3)
    assert folder.outline(three).endswith("3 of 3 cells to do: no finished cell tells how long")
    assert not (tmp_path / "cells").exists()
    finished_in(tmp_path, three[0], 100.0)
    assert folder.outline([*three, three[1]]).splitlines() == [
        f"{three[0].key}     2 min  seed 1",
        f"{three[1].key}     to do  seed 2",
        f"{three[2].key}     to do  seed 3",
        "2 of 3 cells to do: about 3 min",
    ]


def test_a_first_pass_over_files_serves_every_cell(tmp_path, program):
    first = "if not os.path.exists(kept):\n    note('first pass')\n    open(kept, 'w').close()\n"
    program.write_text(TRAIN + 'kept = os.path.join(flags["workdir"], "cache", "survey")\n' + first)
    of_files = [dataclasses.replace(cell, config=dataclasses.replace(cell.config, data=LOG)) for cell in grid(1, 2, 3)]
    Folder(str(tmp_path)).run(of_files[:2])
    assert sum(trace.count("first pass") for trace in traces(tmp_path).values()) == 1
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["survey"]
    Folder(str(tmp_path)).run(of_files)
    assert sum(trace.count("first pass") for trace in traces(tmp_path).values()) == 1


def test_at_a_url_a_training_whose_command_was_killed_is_waited_for(monkeypatch):
    monkeypatch.setattr(_locks, "RENEWED_SECONDS", 0.1)
    monkeypatch.setattr(_locks, "LEFT_SECONDS", 0.6)
    folder, cell, trained = Folder("ram://cells"), Cell("one", Config(seed=1)), []
    _files.makedirs("ram://cells/cells")
    monkeypatch.setattr(Folder, "_process", lambda _, one, *__: trained.append(one.label) or subprocess.Popen(["true"]))
    with manifest.owned(folder.workdir(cell)):  # by the training: its command has gone, and with it the cell's lock
        assert manifest.is_owned(folder.workdir(cell))
        with cells._Trainings() as running:
            folder._start(cell, running)
            assert running.labels == {}
        assert trained == []
    assert not manifest.is_owned(folder.workdir(cell))
    with cells._Trainings() as running:
        folder._start(cell, running)
        assert list(running.labels.values()) == trained == ["one"]
    _files.remove_folder("ram://cells")
