"""A configuration goes to JSON and comes back; what does not fit is named by its path."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import subprocess
import sys

import hypothesis
import pytest
from hypothesis import strategies as st
from source_imports import ROOT

from smooth_recs import fields, validation
from smooth_recs.bin import _configurations
from smooth_recs.config import Config, Data, Model, SyntheticLog, Train
from smooth_recs.errors import InputError
from smooth_recs.schema import Categorical, Numeric, Schema

SCHEMA = Schema(
    (
        Numeric("price", "log", "indicator"),
        Categorical("item", size=100),
        Categorical("tags", "vocabulary", dtype="int64", max_values=3, combiner="sum"),
    ),
    label_threshold=3.5,
    weight="w",
    query_id="request",
)
LAYER = {"class_name": "GSmeLU", "config": {"t": -0.1, "learn": ["alpha", "beta"], "per": "unit"}}

positive = st.integers(1, 10**6)
widths = st.lists(positive, min_size=1, max_size=4).map(tuple)
columns = st.one_of(
    st.builds(Numeric, st.text(), st.sampled_from(["log", "identity"]), st.sampled_from(["zero", "mean"])),
    st.builds(Categorical, st.text(), st.sampled_from(["hash", "identity"]), positive, max_values=positive),
)
configs = st.builds(
    Config,
    seed=positive,
    data=st.builds(
        Data,
        path=st.text(),
        features=st.lists(st.text(), max_size=3).map(tuple),
        schema=st.none() | st.builds(Schema, st.lists(columns, max_size=4).map(tuple), weight=st.none() | st.text()),
        header=st.booleans(),
        synthetic=st.builds(SyntheticLog, users=positive, drift=st.floats(0, 9)),
    ),
    model=st.builds(
        Model,
        activation=st.sampled_from(["relu", "smelu", LAYER]),
        beta=st.none() | st.floats(0, 9) | st.lists(st.floats(0, 9), min_size=1, max_size=4).map(tuple),
        hidden_units=widths,
    ),
    train=st.builds(Train, deterministic=st.booleans(), clip_norm=st.floats(0, 9)),
)


@hypothesis.given(configs)
@hypothesis.settings(max_examples=60, deadline=None)
def test_json_and_back(config):
    assert Config.from_dict(config.to_dict()) == config
    again = Config.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    for (name, _, ours), (_, _, theirs) in zip(fields.walk(again), fields.walk(config), strict=True):
        assert type(ours) is type(theirs), name


def test_a_schema_keeps_the_kinds_of_its_features():
    config = Config(data=Data(source="csv", path="log.csv", schema=SCHEMA))
    again = Config.from_dict(json.loads(json.dumps(config.to_dict())))
    assert [type(feature) for feature in again.data.schema.features] == [Numeric, Categorical, Categorical]
    assert again == config
    validation.validate(again)


def test_what_is_not_named_has_its_default():
    assert Config.from_dict({}) == Config()
    assert Config.from_dict({"model": {"beta": 1}}) == Config(model=Model(beta=1))
    only = {"data": {"schema": {"features": [{"name": "price", "missing": "mean"}]}}}
    assert Config.from_dict(only).data.schema == Schema((Numeric("price", missing="mean"),))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1], "Config must be an object with fields, got [1]"),
        ({"sed": 1}, "sed: no such field; did you mean seed?"),
        ({"replicas": []}, "replicas: no such field; fields of Config: seed, data, model,"),
        ({"model": {"actvation": "relu"}}, "model.actvation: no such field; did you mean activation or interaction?"),
        ({"model": None}, "model must be an object with fields, got None"),
        ({"model": {"clip": "6"}}, "model.clip must be of type float, got '6'"),
        ({"model": {"clip": True}}, "model.clip must be of type float, got True"),
        ({"train": {"epochs": 1.5}}, "train.epochs must be of type int, got 1.5"),
        ({"train": {"deterministic": 1}}, "train.deterministic must be of type bool, got 1"),
        ({"model": {"hidden_units": 8}}, "model.hidden_units must be of type tuple[int, ...], got 8"),
        ({"model": {"hidden_units": [8, "4"]}}, "model.hidden_units[1] must be of type int, got '4'"),
        ({"model": {"beta": "wide"}}, "model.beta must be of type float | tuple[float, ...] | None, got 'wide'"),
        ({"data": {"schema": {}}}, "data.schema.features must be given"),
        ({"data": {"schema": 3}}, "data.schema must be an object with fields, got 3"),
        ({"data": {"schema": {"features": ["price"]}}}, "data.schema.features[0] must be an object with fields"),
        (
            {"data": {"schema": {"features": [{"name": "price"}]}}},
            "data.schema.features[0] must have the fields of either Numeric or Categorical, got name",
        ),
        (
            {"data": {"schema": {"features": [{"name": "a", "size": 3, "encoding": "one"}]}}},
            "data.schema.features[0].encoding must be one of identity, hash, vocabulary, got 'one'",
        ),
        (
            {"data": {"schema": {"features": [{"name": "a", "size": "3"}]}}},
            "data.schema.features[0].size must be of type int, got '3'",
        ),
    ],
)
def test_what_does_not_fit_is_named(values, words):
    with pytest.raises(InputError) as raised:
        Config.from_dict(values)
    assert str(raised.value).startswith(words)
    assert "\n" not in str(raised.value)


def test_the_flag_takes_the_configuration_of_a_run(tmp_path):
    config = Config(seed=5, data=Data(source="csv", path="log.csv", schema=SCHEMA), model=Model(activation=LAYER))
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config.to_dict()))
    assert _configurations.load(str(path)) == config


YAML = """
seed: 5
data:
  source: csv
  path: log.csv
  schema:
    features:
      - {name: shop, encoding: hash, size: 10}
      - {name: price, transform: log, missing: mean}
    label: clicked
model: {beta: 1e-1, hidden_units: [8, 4]}
"""
TOML = """
seed = 5
data.source = "csv"
data.path = "log.csv"
data.schema.label = "clicked"
data.schema.features = [
  {name = "shop", encoding = "hash", size = 10},
  {name = "price", transform = "log", missing = "mean"},
]
model.beta = 1e-1
model.hidden_units = [8, 4]
"""


@pytest.mark.parametrize(("name", "text"), [("a.yaml", YAML), ("a.YML", YAML), ("a.toml", TOML)])
def test_the_flag_takes_files_of_data(tmp_path, name, text):
    schema = Schema((Categorical("shop", size=10), Numeric("price", "log", "mean")), label="clicked")
    data = Data(source="csv", path="log.csv", schema=schema)
    (tmp_path / name).write_text(text)
    wanted = Config(seed=5, data=data, model=Model(beta=0.1, hidden_units=(8, 4)))
    assert _configurations.load(str(tmp_path / name)) == wanted


# Lists in lists by aliases: written out, 9^8 values.
NESTED = functools.reduce(
    lambda inside, name: f"[&{name} {inside}, {', '.join(8 * [f'*{name}'])}]", "abcdefg", str([1] * 9)
)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (
            "a.yaml",
            f"train: {{epochs: {NESTED}}}",
            "train.epochs must be of type int, got a list of 9 with more inside",
        ),
        ("a.yaml", "model: {activaton: relu}", "model.activaton: no such field; did you mean activation"),
        ("a.toml", "[train]\nepoch = 2", "train.epoch: no such field; did you mean epochs?"),
        ("a.yaml", "train: {epochs: two}", "train.epochs must be of type int, got 'two'"),
        ("a.yaml", "a: [", "the file is not YAML: ValueError: while parsing a flow"),
        ("a.yaml", "", "Config must be an object with fields, got None"),
        ("a.yaml", "seed: !!python/object/apply:os.getpid []", "the file is not YAML: ValueError: could not determine"),
        ("a.toml", "a =", "the file is not TOML: TOMLDecodeError: Invalid value"),
        ("a.txt", "seed: 1", "must be a Python file (.py) or one of data (.json, .yaml, .yml, .toml)"),
    ],
)
def test_a_file_of_data_that_is_no_configuration_runs_nothing(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as raised:
        _configurations.load(str(tmp_path / name))
    assert str(raised.value).startswith(words)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "the file is not JSON: JSONDecodeError: Expecting property name"),
        ("", "the file is not JSON: JSONDecodeError: Expecting value"),
        ("[" * 100_000, "the file is nested too deeply for JSON"),
        ("[]", "Config must be an object with fields, got []"),
        ('{"sed": 1}', "sed: no such field; did you mean seed?"),
    ],
)
def test_a_file_that_is_no_configuration(tmp_path, text, words):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(InputError) as raised:
        _configurations.load(str(path))
    assert str(raised.value).startswith(words)


def test_overrides_apply_to_a_file_of_json_too(tmp_path):
    config = Config(seed=5, model=Model(beta=(0.3, 0.1), hidden_units=(8, 4)))
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    folder = tmp_path / "smooth_recs" / "bin"  # started as a binary, beside a stand-in for TensorFlow
    folder.mkdir(parents=True)
    (folder / "tensorflow.py").touch()
    (folder / "show.py").write_text(
        "from smooth_recs.bin import _command, _flags\n"
        "config = _flags.define()\n"
        "_command.run(lambda: print(config.value))\n"
    )
    flags = [f"--config={tmp_path / 'config.json'}", "--config.seed=7", "--config.model.beta=0.2,0.1"]
    done = subprocess.run(
        [sys.executable, folder / "show.py", *flags],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    changed = dataclasses.replace(config, seed=7, model=dataclasses.replace(config.model, beta=(0.2, 0.1)))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{changed}\n"
