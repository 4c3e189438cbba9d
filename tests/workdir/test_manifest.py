"""Whose a workdir is: this run's, another one's, one's that began on other data; a finished run read back."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from smooth_recs._files import write_json
from smooth_recs.config import Config, Model, Train
from smooth_recs.errors import InputError
from smooth_recs.workdir import manifest


def test_a_finished_run_is_read_in_one_piece(tmp_path: Path) -> None:
    for name in ("config", "manifest", "metrics"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"of": name}))
    found = manifest.read_finished(str(tmp_path))
    assert (found.config, found.manifest, found.metrics) == ({"of": "config"}, {"of": "manifest"}, {"of": "metrics"})


def test_a_run_that_began_on_other_data_is_not_continued(tmp_path: Path) -> None:
    (tmp_path / ".writing-of-a-killed-process").mkdir()
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
