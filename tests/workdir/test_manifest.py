"""Whose a workdir is: this run's, another one's, one's that began on other data; a finished run read back."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from smooth_recs._files import write_json
from smooth_recs._processes import child_environment
from smooth_recs.config import Config, Model, Train
from smooth_recs.errors import InputError
from smooth_recs.workdir import manifest


def test_a_finished_run_is_read_in_one_piece(tmp_path: Path) -> None:
    contents = {"config": {"of": 1}, "manifest": {"of": 2}, "metrics": {"replicas": [{}]}}
    for name, content in contents.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    assert manifest.read_finished(str(tmp_path))._asdict() == contents


def test_a_run_that_began_on_other_data_is_not_continued(tmp_path: Path) -> None:
    for _ in range(2):
        manifest.claim(Config(), str(tmp_path), "one", {})
    assert sorted(os.listdir(tmp_path)) == ["config.json", "manifest.json"]
    with pytest.raises(InputError, match="began on other data: their fingerprint was one, now it is two"):
        manifest.claim(Config(), str(tmp_path), "two", {})
    assert json.loads((tmp_path / "manifest.json").read_text())["data"]["fingerprint"] == "one"


def test_a_tuple_inside_a_dictionary_is_a_list_in_the_file(tmp_path: Path) -> None:
    def of(knots: tuple[float, ...]) -> Config:
        return Config(model=Model(activation={"class_name": "RESCU", "config": {"knots": knots, "slopes": (0, 1, 2)}}))

    write_json(str(tmp_path / "config.json"), of((-1.0, 1.0)).to_dict())
    assert manifest.open_run(of((-1.0, 1.0)), str(tmp_path)) is None
    with pytest.raises(InputError, match=r"knots=\[-1\.0, 1\.0\], this one has \[-1\.0, 2\.0\]"):
        manifest.open_run(of((-1.0, 2.0)), str(tmp_path))


def test_a_workdir_of_an_earlier_version_is_still_this_run(tmp_path: Path) -> None:
    values = Config().to_dict()
    del values["train"]["warm_start"], values["evaluation"]
    write_json(str(tmp_path / "config.json"), values)
    assert manifest.open_run(Config(), str(tmp_path)) is None
    with pytest.raises(InputError, match=r"holds a run with config\.seed=1, this one has 7"):
        manifest.open_run(Config(seed=7), str(tmp_path))
    with pytest.raises(InputError, match=r"config\.train\.warm_start='', this one has 'runs/a'"):
        manifest.open_run(Config(train=Train(warm_start="runs/a")), str(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("config.json", '{"seed": 1', "cannot be read (it is not JSON, or not all of it: Expecting"),
        ("config.json", "[]", "must hold a JSON object, got a list"),
        ("config.json", '{"sede": 1}', "sede: no such field; did you mean seed?"),
        ("config.json", '{"seed": "x"}', "seed must be of type"),
        ("metrics.json", "{}", "must hold the measures of each replica, got none"),
        ("metrics.json", '{"replicas": {"0": 1}}', "must hold the measures of each replica, got none"),
        ("metrics.json", '{"replicas": [{"auc"', "cannot be read (it is not JSON, or not all of it: Expecting"),
        ("metrics.json", "\udcff", "cannot be read (it is not JSON, or not all of it: 'utf-8' codec"),
        ("metrics.json", "[" * 100_000, "cannot be read (it is not JSON, or not all of it: "),
    ],
)
def test_a_file_that_is_not_whole_is_named_with_what_to_do(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError) as error:
        manifest.open_run(Config(), str(tmp_path))
    line = str(error.value)
    assert line.startswith(f"{tmp_path / name}")
    assert said in line
    assert ": delete it" in line
    assert "\n" not in line
    (tmp_path / name).unlink()
    assert manifest.open_run(Config(), str(tmp_path)) is None  # what the line said


@pytest.mark.parametrize("content", ['{"data": {"fing', "{}", '{"data": 3}', "3"])
def test_a_manifest_that_is_not_whole_is_named_with_what_to_do(tmp_path: Path, content: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(content)
    with pytest.raises(
        InputError, match=r"manifest\.json .*: delete it if the data are those .* take another workdir$"
    ):
        manifest.claim(Config(), str(tmp_path), "one", {})
    path.unlink()
    manifest.claim(Config(), str(tmp_path), "one", {})
    assert manifest.fingerprint(str(tmp_path)) == "one"


def test_a_workdir_has_one_owner(tmp_path: Path) -> None:
    workdir = tmp_path / "not there yet"
    with manifest.owned(str(workdir)):
        with pytest.raises(InputError) as error, manifest.owned(str(workdir)):
            pass
        who = f"process {os.getpid()} on {socket.gethostname()} since "
        assert re.fullmatch(
            rf"workdir {workdir} is in use by {who}\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC: wait for it, or take "
            rf"another workdir \(where its machine is gone for good, delete {workdir}/run\.lock\)",
            str(error.value),
        )
    with manifest.owned(str(workdir)):  # free again
        pass


def test_an_owner_that_is_killed_keeps_nobody_out(tmp_path: Path) -> None:
    # A process of its own, which needs the lock alone.
    holding = "import sys, time; from smooth_recs._locks import locked\n"
    holding += "with locked(sys.argv[1], 'the first'): print('held', flush=True); time.sleep(600)"
    command = [sys.executable, "-X", "warm", "-c", holding, str(tmp_path / "run.lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=child_environment()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match="is in use by the first: wait"), manifest.owned(str(tmp_path)):
            pass
        process.kill()
        process.wait()
        with manifest.owned(str(tmp_path)):
            assert str(os.getpid()) in (tmp_path / "run.lock").read_text()


def test_the_owner_removes_what_killed_processes_left(tmp_path: Path) -> None:
    left = [".writing-a", "export/replica_0/.writing-b", "export/replica_1/.removing-c", "checkpoints/ckpt-7_temp"]
    kept = ["export/replica_0/1", "cache/.writing-d", "checkpoints/ckpt-7.index"]  # others may share the cache
    for name in (*left, *kept):
        (tmp_path / name / "deep").mkdir(parents=True)
    with manifest.owned(str(tmp_path)):
        assert not any((tmp_path / name).exists() for name in left)
        assert all((tmp_path / name).exists() for name in kept)
