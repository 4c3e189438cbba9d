"""Rows of a shard in their file: all shards together are the whole, to the last bit; nothing else is taken for it."""

from __future__ import annotations

import dataclasses
import json
import os

from comparison_log import ROWS, write_csv

from smooth_recs.comparison.settings import Shard
from smooth_recs.config import Config, Evaluation


def test_three_shards_and_a_merge_are_the_same_to_the_last_bit(run, log, tmp_path, capsys):
    settings = {"evaluation": Evaluation(slices=("user", "frequency"))}
    whole = run("whole.json", **settings)
    said = capsys.readouterr().out
    for number in (3, 1, 2):
        assert run(shard=Shard(number, 3), **settings) == {}
    assert capsys.readouterr().out.count("shard-") == 3
    assert sorted(os.listdir(tmp_path)) == [*(f"out.shard-{n}-of-3.npz" for n in (1, 2, 3)), "whole.html", "whole.json"]
    merged = run(merge=True, **settings)
    assert json.dumps(merged) == json.dumps(whole)
    assert capsys.readouterr().out == said.replace("whole.", "out.")
    regated = run(merge=True, evaluation=dataclasses.replace(settings["evaluation"], k=1))
    assert regated["recommendations"]["swap_rate"] < merged["recommendations"]["swap_rate"]


def test_more_shards_than_batches(run, log, tmp_path):
    whole = run("whole.json")
    for number in range(1, 6):
        run(shard=Shard(number, 5))
    assert run(merge=True) == whole


def test_a_merge_refuses_what_does_not_belong_together(run, refused, log, tmp_path):
    assert refused(merge=True) == f"--merge: there is no shard {tmp_path / 'out'}.shard-*.npz"
    run(shard=Shard(1, 2))
    first, second = (tmp_path / f"out.shard-{number}-of-2.npz" for number in (1, 2))
    assert refused(merge=True) == f"--merge needs all 2 shards, missing: {second}"
    run(shard=Shard(2, 2), a=log.b)
    assert refused(merge=True) == f"--merge: {second} is of other models than --a, --b and the flags now say"
    run(shard=Shard(2, 2), evaluation=Evaluation(slices=("user",)))
    assert refused(merge=True) == f"--merge: {second} is of other settings than --a, --b and the flags now say"
    run(shard=Shard(2, 2), config=Config(data=dataclasses.replace(log.config.data, eval_examples=ROWS - 4)))
    assert refused(merge=True).startswith(f"--merge: {second} is of other settings")
    second.write_bytes(first.read_bytes()[:-100])
    assert refused(merge=True).startswith(f"--merge: {second} is no shard: ")
    run(shard=Shard(2, 2))
    run(shard=Shard(3, 3))
    assert refused(merge=True) == "--merge: there are shards of 2 and of 3: remove those of one kind"
    (tmp_path / "out.shard-3-of-3.npz").unlink()
    assert run(merge=True)["rows"] == ROWS


def test_a_merge_of_changed_data_is_refused(run, refused, tmp_path, log):
    columns = {"prediction": log.rows["a"], "label": log.rows["label"]}
    paths = {side: write_csv(tmp_path / f"{side}.csv", columns) for side in ("a", "b")}
    run(shard=Shard(1, 2), **paths)
    write_csv(tmp_path / "b.csv", columns | {"prediction": log.rows["b"]})
    run(shard=Shard(2, 2), **paths)
    assert "out.shard-1-of-2.npz is of other models than" in refused(merge=True, **paths)


def test_others_may_read_what_is_written(run, tmp_path):
    umask = os.umask(0o022)
    try:
        run(shard=Shard(1, 2))
        run(shard=Shard(2, 2))
        run(merge=True)
    finally:
        os.umask(umask)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()}
    assert set(modes) == {"out.html", "out.json", "out.shard-1-of-2.npz", "out.shard-2-of-2.npz"}
    assert set(modes.values()) == {"0o644"}
