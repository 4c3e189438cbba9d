"""Every field of a configuration has a rule, and every broken rule is one line that names field, rule and value."""

from __future__ import annotations

import dataclasses
import math

import pytest

from smooth_recs import fields, validation
from smooth_recs.config import Config, Data, Distillation, Ensemble, Model, Siblings, Train
from smooth_recs.errors import InputError
from smooth_recs.schema import Categorical, Schema

SCHEMA = Schema(features=(Categorical("item", size=10),))


def changed(name: str, value: object) -> Config:
    config = Config()
    *sections, field = name.split(".")
    section = config
    for part in sections:
        section = getattr(section, part)
    assert field in {f.name for f in dataclasses.fields(section)}
    setattr(section, field, value)
    return config


def refusal(config: Config) -> str:
    with pytest.raises(InputError) as caught:
        validation.validate(config)
    return str(caught.value)


def test_the_defaults_are_valid():
    validation.validate(Config())


# Any value of their type is possible; whoever adds a field here has thought about it.
WITHOUT_RULE = {
    *("data.path", "data.eval_path", "data.schema", "data.synthetic.bias", "train.warm_start", "evaluation.order_by"),
    *(
        "data.validation_path",
        "data.header",
        "model.linear",
        "train.deterministic",
        "train.progressive",
        "train.huge_pages",
    ),
    "evaluation.estimate",
    "evaluation.live",
}
WRONG = (-1, -1.0, 0, 0.0, 2.0, "", "no such choice", ("twice", "twice"), (0,), (-1.0,))


@pytest.mark.parametrize("name", [name for name, _, _ in fields.walk(Config())])
def test_the_annotation_of_every_field_is_checked(name):
    (kind,) = (kind for each, kind, _ in fields.walk(Config()) if each == name)
    for value in (object(), b"bytes", [1], {1}):
        assert refusal(changed(name, value)) == f"{name} must be {fields.words(kind)}, got {value!r}"
    possible = [value for value in WRONG if fields.is_a(value, kind)]
    wrong = [(value, rule.words) for rule in fields.rules(kind) for value in possible if not rule.holds(value)]
    wrong += [("no such choice", "")] if fields.choices(kind) else []
    assert (not wrong) == (name in WITHOUT_RULE)
    for value, words in wrong:
        assert refusal(changed(name, value)) == f"{name} must be {words or fields.words(kind)}, got {value!r}"


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("seed", -1, "from 0 to 2147483647"),
        ("seed", 2**31, "from 0 to 2147483647"),
        (
            "data.source",
            "criteo2",
            "one of synthetic, criteo, movielens, open_bandit, kuairand, trivago, csv, tfrecord, parquet",
        ),
        ("data.features", ("a", "a"), "names that differ"),
        ("data.delimiter", "", "one character"),
        ("data.delimiter", ", ", "one character"),
        ("data.examples", -1, "at least 0"),
        ("data.split", "head", "one of tail, time, user_time, random"),
        ("data.train_fraction", 0.0, "above 0 and below 1"),
        ("data.train_fraction", 1.0, "above 0 and below 1"),
        ("data.validation_fraction", 1.0, "at least 0 and below 1"),
        ("data.shuffle_window", 0, "at least 1"),
        ("data.max_malformed", 1.01, "from 0 to 1"),
        ("data.synthetic.users", 0, "at least 1"),
        ("data.synthetic.missing_rate", 1.0, "at least 0 and below 1"),
        ("model.activation", "", "a name or a dictionary"),
        ("model.beta", -0.1, "0 or from 1e-06 to 10000.0"),
        ("model.beta", (0.1, 0.1, 0.1, 0.1, -0.1), "0 or from 1e-06 to 10000.0"),
        ("model.beta", 1e-45, "0 or from 1e-06 to 10000.0"),
        ("model.beta", 1e30, "0 or from 1e-06 to 10000.0"),
        ("model.hidden_units", (8, 0), "one or more widths of at least 1"),
        ("model.hidden_units", (), "one or more widths of at least 1"),
        ("model.bottom_units", (0,), "widths of at least 1"),
        ("model.interaction", "fm", "one of concat, dot, cross, deepfm"),
        ("model.normalization", "row", "one of weight, layer, batch, none"),
        ("model.norm_value", 0.0, "above 0"),
        ("model.clip", -6.0, "at least 0"),
        ("model.precision", "float16", "one of float32, bfloat16"),
        ("model.embedding_dim", 0, "at least 1"),
        ("model.dropout", 1.0, "at least 0 and below 1"),
        ("model.l2", -1e-9, "at least 0"),
        ("model.embedding_l2", -1e-9, "at least 0"),
        ("siblings.replicas", 0, "at least 1"),
        ("siblings.differ", "seed", "one of order, init, both, nothing"),
        ("train.batch_size", 0, "at least 1"),
        ("train.epochs", 0, "at least 1"),
        ("train.dense_optimizer", "lamb", "one of adagrad, adam, sgd"),
        ("train.embedding_optimizer", "ftrl", "one of adagrad, adam, sgd"),
        ("train.best", "auc_loss", "one of log_loss, auc"),
        ("train.plateau_factor", 1.0, "above 0 and below 1"),
        ("train.dense_learning_rate", 0.0, "above 0"),
        ("train.embedding_learning_rate", -0.1, "above 0"),
        ("train.final_learning_rate_share", 2.0, "from 0 to 1"),
        ("train.clip_norm", -1.0, "at least 0"),
        ("train.steps_per_execution", 0, "at least 1"),
        (
            "distribution.strategy",
            "ring",
            "one of auto, one_device, mirrored, multi_worker_mirrored, parameter_server, tpu",
        ),
    ],
)
def test_a_broken_rule_names_field_rule_and_value(name, value, rule):
    assert refusal(changed(name, value)) == f"{name} must be {rule}, got {value!r}"


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("seed", 1.5, "an integer"),
        ("seed", True, "an integer"),
        ("train.epochs", "3", "an integer"),
        ("model.clip", "6", "a number"),
        ("model.linear", 1, "true or false"),
        ("data.path", None, "a text"),
        ("model.hidden_units", [8, 4], "a tuple of integers"),
        ("model.hidden_units", (8, 4.0), "a tuple of integers"),
        ("data.column_names", ("a", 1), "a tuple of texts"),
        ("model.beta", "wide", "a number, a tuple of numbers or None"),
        ("data.schema", {}, "a Schema or None"),
    ],
)
def test_a_wrong_type_names_field_type_and_value(name, value, kind):
    assert refusal(changed(name, value)) == f"{name} must be {kind}, got {value!r}"


def test_a_section_must_be_a_section():
    assert refusal(Config(model="smelu")) == "model must be a config.Model, got 'smelu'"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", [name for name, kind, _ in fields.walk(Config()) if fields.is_a(0.5, kind)])
def test_no_number_may_be_infinite_or_nan(name, value):
    assert refusal(changed(name, value)) == f"{name} must be finite, got {value!r}"


@pytest.mark.parametrize("value", [10**30, 2**63, -(2**63) - 1])
@pytest.mark.parametrize("name", [name for name, kind, _ in fields.walk(Config()) if fields.is_a(1, kind)])
def test_no_integer_may_be_beyond_64_bits(name, value):
    assert refusal(changed(name, value)) == f"{name} must be below 2^63 in size where it has no point, got {value!r}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model.beta", None),
        ("model.beta", 0),
        ("model.beta", 0.0),
        ("model.beta", (0.5, 0.4, 0.3, 0.2, 0.1)),
        ("model.clip", 0),
        ("train.clip_norm", 5),
        ("data.max_malformed", 0.0),
        ("data.shuffle_window", 1),
        ("siblings.replicas", 1),
    ],
)
def test_values_at_the_bounds_are_valid(name, value):
    validation.validate(changed(name, value))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            Config(siblings=Siblings(replicas=1), train=Train(patience=1, max_pd=0.1)),
            "train.max_pd must be 0 for a single replica, which has no PD, got 0.1",
        ),
        (Config(train=Train(plateau=2)), "train.plateau needs train.patience, got 2 and patience 0"),
        (Config(train=Train(best="auc")), "train.best needs train.patience, got 'auc' and patience 0"),
        (
            Config(train=Train(patience=3, plateau=1, final_learning_rate_share=0.1)),
            "train.final_learning_rate_share must be 1 with train.plateau, which cuts constant rates, got 0.1",
        ),
        (
            Config(data=Data(source="criteo", path="a", validation_path="b", validation_fraction=0.1)),
            "data.validation_fraction must be 0 with data.validation_path, got 0.1",
        ),
        (
            Config(data=Data(validation_path="b")),
            "data.validation_path needs a data.source of files, got 'b' and synthetic",
        ),
    ],
)
def test_what_chooses_has_its_rules(config, said):
    assert refusal(config) == said


def test_beta_has_one_number_a_hidden_layer():
    said = refusal(Config(model=Model(beta=(0.2, 0.1), hidden_units=(8, 4, 2))))
    assert said == "model.beta must have one number for each of the 3 hidden layers, got (0.2, 0.1)"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (Data(source="criteo"), "data.path must name a file"),
        (Data(source="csv", path="log.csv"), "data.schema must be given for data.source 'csv'"),
        (Data(source="csv", path="log.csv", schema=SCHEMA, header=False), "data.column_names must name the columns"),
        (Data(source="csv", path="log.csv", schema=Schema(features=())), "schema: features must name"),
        (Data(source="csv", path="log.csv", schema=SCHEMA, split="time"), "data.schema must have a timestamp"),
    ],
)
def test_fields_that_depend_on_each_other(data, words):
    assert refusal(Config(data=data)).startswith(words)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            Config(ensemble=Ensemble(decorrelation=(0.0, 0.1))),
            "ensemble.decorrelation needs ensemble.components of 2 or more, got 1",
        ),
        (
            Config(ensemble=Ensemble(components=3, stale_steps=5)),
            "ensemble.stale_steps needs ensemble.codistillation, got 5 and 0",
        ),
        (
            Config(ensemble=Ensemble(components=3, init="same")),
            "ensemble.init must be different where nothing else tells components apart, got same with model.dropout 0",
        ),
        (Config(distillation=Distillation(weight=0.9)), "distillation.weight needs distillation.teachers, got none"),
        (Config(distillation=Distillation(loss="logit")), "distillation.loss needs distillation.teachers, got none"),
        (
            Config(distillation=Distillation(teachers=("runs/teacher",), weight=(0.0, 1.5))),
            "distillation.weight must be from 0 to 1, once or twice, got (0.0, 1.5)",
        ),
        (Config(data=Data(path="log.csv")), "data.path needs a data.source of files, got 'log.csv' and synthetic"),
        (Config(train=Train(anchor=0.1)), "train.anchor needs train.warm_start, got anchor 0.1 and no warm_start"),
    ],
)
def test_settings_that_would_do_nothing_are_refused(config, said):
    assert refusal(config) == said


@pytest.mark.parametrize(
    "config",
    [
        Config(ensemble=Ensemble(components=3, codistillation=(0.0, 0.5), stale_steps=5)),
        Config(ensemble=Ensemble(components=3, init="same"), model=Model(dropout=0.1)),
        Config(distillation=Distillation(teachers=("runs/teacher",), loss="logit", weight=(1.0, 0.0))),
    ],
)
def test_alternatives_are_valid(config):
    validation.validate(config)


def test_a_complete_source_is_valid():
    validation.validate(Config(data=Data(source="csv", path="log.csv", schema=SCHEMA)))


def test_a_relative_width_takes_the_place_of_beta():
    said = refusal(Config(model=Model(beta=0.2, relative_beta=0.3)))
    assert said == "model.beta must be null where model.relative_beta sets the width, got 0.2 and 0.3"
    said = refusal(Config(model=Model(relative_beta=(0.2, 0.1), hidden_units=(8, 4, 2))))
    assert said == "model.relative_beta must have one number for each of the 3 hidden layers, got (0.2, 0.1)"
    validation.validate(Config(model=Model(relative_beta=(0.3, 0.2), hidden_units=(8, 4))))
