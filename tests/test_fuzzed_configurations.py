"""Random configurations: each is refused in one line that an InputError says, or can be planned."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import random
import shutil
import typing
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from fuzzing import go_on

from smooth_recs import fields, validation
from smooth_recs.config import Config
from smooth_recs.errors import Diverged, InputError
from smooth_recs.training.training_run import plan, train_and_evaluate

DEFAULTS: dict[str, Any] = json.loads(json.dumps(Config().to_dict()))
DEFAULTS["data"] |= {"examples": 300, "eval_examples": 100}
FIELDS = {path: kind for path, kind, _ in fields.walk(Config())}
ODD: list[Any] = [
    *(None, True, False, -1, 0, 1, 2, 3, 7, 10**30, -(10**30), 2**63, 0.5, -0.5, 1.5, float("nan"), float("inf")),
    *("", " ", "x", "relu", "smelu", "csv", "init", "tail", "user_time", "0.3", "\n", "%s"),
    *([], [1], [0], [-1], ["a"], [0.1, "b"], [[1]], [None], {}, {"a": 1}, {"class_name": "SmeLU", "config": {}}),
    "a" * 300,
    *({"features": []}, {"features": [{"name": "a"}]}, {"features": [{"name": "a", "size": 3}], "label": "y"}),
]  # fmt: skip


def choices(kind: Any) -> list[Any]:
    literals = [each for each in fields.alternatives(kind) if typing.get_origin(each) is typing.Literal]
    return [choice for each in literals for choice in typing.get_args(each)]


def changed(chance: random.Random) -> dict[str, Any]:
    """Values of a configuration of few rows in which up to three fields are anything."""
    values = json.loads(json.dumps(DEFAULTS))
    for path in chance.sample(sorted(FIELDS), chance.choice([1, 1, 2, 3])):
        *outer, last = path.split(".")
        section = values
        for name in outer:
            section = section.get(name) if isinstance(section, dict) else None
        if isinstance(section, dict):  # else an outer field is anything already
            known = choices(FIELDS[path])
            section[last] = chance.choice(known) if known and chance.random() < 0.6 else chance.choice(ODD)
    return values


def differences(values: dict[str, Any]) -> dict[str, Any]:
    """The sections, or what is in them, that are not as in the configuration that was changed."""
    return {
        section: value if not isinstance(value, dict) else {k: v for k, v in value.items() if v != DEFAULTS[section][k]}
        for section, value in values.items()
        if value != DEFAULTS[section]
    }


def plans_or_refuses(folder: Path, seed: int) -> int:
    """Refuses or plans 150 configurations."""
    chance, refused, planned = random.Random(seed), list[str](), 0
    for _ in range(150):
        values = changed(chance)
        try:
            config = Config.from_dict(values)
            validation.validate(config)
            if planned < 5 and (config.data.examples, config.data.source) == (300, "synthetic"):
                planned += 1
                plan(config, str(folder))
        except InputError as error:
            refused.append(str(error))
        except Exception as error:
            raise AssertionError(f"{differences(values)}: {type(error).__name__}: {error}") from error
    assert len(refused) > 50
    assert not [said for said in refused if "\n" in said]
    assert planned
    return 150


def trains_or_refuses(folder: Path, seed: int) -> int:
    """Trains with a configuration that is valid, and small whatever was changed, or refuses it."""
    chance = random.Random(seed)
    while True:
        values = changed(chance)
        with contextlib.suppress(InputError):
            config = Config.from_dict(values)
            validation.validate(config)
            data = config.data
            if (data.examples, data.source) == (300, "synthetic") and values["distribution"] == DEFAULTS[
                "distribution"
            ]:
                break
    said = ""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            train_and_evaluate(config, str(folder / str(seed)))
    except (InputError, Diverged) as error:
        said = str(error)
    except Exception as error:
        raise AssertionError(f"{differences(values)}: {type(error).__name__}: {error}") from error
    finally:
        shutil.rmtree(folder / str(seed), ignore_errors=True)
        tf.keras.backend.clear_session()
    assert "\n" not in said
    return 1


def test_a_configuration_is_refused_in_one_line_or_can_be_planned(tmp_path: Path) -> None:
    go_on("planned configurations", functools.partial(plans_or_refuses, tmp_path))


@pytest.mark.slow
def test_a_configuration_is_refused_in_one_line_or_trains(tmp_path: Path) -> None:
    go_on("trained configurations", functools.partial(trains_or_refuses, tmp_path))
