"""Variants of a configuration: other fields, activations as one writes them, from flags, and the runs of a grid."""

from __future__ import annotations

import dataclasses
import doctest

import pytest

from smooth_recs.config import Config, Data, Model
from smooth_recs.errors import InputError
from smooth_recs.experiments import sweeps, variants
from smooth_recs.experiments.cells import distinct
from smooth_recs.experiments.sweeps import Sweep, Variant
from smooth_recs.experiments.variants import Grid, crossed

TEACHER = Variant("teacher", "Teacher", {"model.activation": "relu", "ensemble.components": 3})
STUDENT = Variant("student", "Student", {"distillation.teachers": ("@teacher", "elsewhere/export")})
LATER = Variant("later", "Later", {"train.warm_start": "@student"})


def grid(*variants, config=None, seeds=(1, 2)):
    return Grid(config or Config(), variants, seeds)


def test_every_variant_gets_every_seed_and_keeps_what_it_does_not_set():
    config = Config(seed=9, data=Data(shuffle_window=7), model=Model(beta=0.3))
    found = grid(*sweeps.activation("relu"), *sweeps.activation("smelu", 0.1, 2), config=config, seeds=(4, 5)).cells()
    assert [(cell.label, cell.config.seed, cell.config.model.beta) for cell in found] == [
        *(("ReLU, seed 4", 4, None), ("SmeLU 0.1, seed 4", 4, 0.1), ("SmeLU 2, seed 4", 4, 2.0)),
        *(("ReLU, seed 5", 5, None), ("SmeLU 0.1, seed 5", 5, 0.1), ("SmeLU 2, seed 5", 5, 2.0)),
    ]
    assert {cell.config.data.shuffle_window for cell in found} == {7}
    assert config == Config(seed=9, data=Data(shuffle_window=7), model=Model(beta=0.3))


def test_a_cell_holds_the_keys_of_what_it_needs():
    three = grid(LATER, STUDENT, TEACHER)
    later, student, teacher = (three.cell(variant, 1) for variant in (LATER, STUDENT, TEACHER))
    assert student.config.distillation.teachers == (f"@{teacher.key}", "elsewhere/export")
    assert later.config.train.warm_start == f"@{student.key}"
    assert [need.key for need in student.needs] == [teacher.key]
    assert [cell.key for cell in distinct([later])] == [teacher.key, student.key, later.key]


def test_what_is_needed_changes_the_key_of_what_needs_it():
    def key(teacher, seed=1):
        return grid(STUDENT, teacher).cell(STUDENT, seed).key

    other = Variant("teacher", "Teacher", {"model.activation": "smelu"})
    again = Variant("teacher", "By another name", dict(TEACHER.fields))
    assert key(TEACHER) == key(again)
    assert len({key(TEACHER), key(other), key(TEACHER, 2)}) == 3


def test_cells_that_differ_in_their_seeds_alone_are_of_one_kind():
    cells = grid(TEACHER, STUDENT).cells()
    assert len({cell.key for cell in cells}) == 4
    assert [cell.kind for cell in cells[:2]] == [cell.kind for cell in cells[2:]]
    assert cells[0].kind != cells[1].kind


@pytest.mark.parametrize(
    ("needing", "words"),
    [
        ([STUDENT], "variant student: distillation.teachers must name a variant (student), got @teacher"),
        ([Variant("a", "A", {"train.warm_start": "@a"})], "variants need each other in a circle: a needs a"),
        (
            [
                Variant("a", "A", {"train.warm_start": "@b"}),
                Variant("b", "B", {"distillation.teachers": ("@c",)}),
                Variant("c", "C", {"train.warm_start": "@a"}),
            ],
            "variants need each other in a circle: a needs b needs c needs a",
        ),
        ([Variant("a", "A", {"model.bta": 1})], "variant a: there must be a field of each name, got model.bta"),
        ([Variant("a", "A", {"model": 1})], "variant a: there must be a field of each name, got model"),
        ([Variant("a", "A", {"model.clip.x": 1})], "variant a: there must be a field of each name, got model.clip.x"),
        ([Variant("a", "A", {"train.epochs": 0})], "variant a: train.epochs must be at least 1, got 0"),
        ([Variant("a", "A", {"model.activation": "rleu"})], "variant a: model.activation or model.beta: activation"),
        ([Variant("a", "A", {"seed": 3})], "variant a: the seed must be left to the pairs, got 3"),
    ],
)
def test_a_grid_that_cannot_be(needing, words):
    with pytest.raises(InputError) as raised:
        grid(*needing)
    assert str(raised.value).startswith(words)
    assert "\n" not in str(raised.value)


def test_activations_on_the_command_line_are_variants_on_lines():
    found = crossed(Config(model=Model(beta=0.3)), ["relu", "smelu:0.1:0.2", "swish:5", "smelu"], {})
    assert [(each.name, each.label, each.line, each.width) for each in found] == [
        ("relu", "ReLU", "", None),
        ("smelu:0.1", "SmeLU 0.1", "SmeLU", 0.1),
        ("smelu:0.2", "SmeLU 0.2", "SmeLU", 0.2),
        ("swish:5", "Swish 5.0", "Swish", 5.0),
        ("smelu", "SmeLU 0.3", "SmeLU", 0.3),
    ]


def test_every_activation_meets_every_value():
    found = crossed(Config(), ["relu", "smelu:0.1"], {"model.norm_value": [1.0, 1.4], "model.hidden_units": [(8, 4)]})
    assert [(each.name, each.line) for each in found] == [
        ("relu/norm_value=1.0/hidden_units=8-4", ""),
        ("relu/norm_value=1.4/hidden_units=8-4", ""),
        ("smelu:0.1/norm_value=1.0/hidden_units=8-4", "SmeLU, norm_value 1.0, hidden_units 8-4"),
        ("smelu:0.1/norm_value=1.4/hidden_units=8-4", "SmeLU, norm_value 1.4, hidden_units 8-4"),
    ]
    assert found[3].fields == {
        "model.activation": "smelu",
        "model.beta": 0.1,
        "model.norm_value": 1.4,
        "model.hidden_units": (8, 4),
    }
    assert found[3].label == "SmeLU 0.1, norm_value 1.4, hidden_units 8-4"


def test_an_activation_without_a_width_is_there_once_whatever_the_betas():
    found = crossed(Config(), ["relu", "smelu"], {"model.beta": [0.1, 0.2]})
    assert [each.name for each in found] == ["relu", "smelu/beta=0.1", "smelu/beta=0.2"]
    alone = crossed(Config(), [], {"model.beta": [0.1, (0.3, 0.2, 0.2, 0.1, 0.1)]})
    assert [(each.name, each.label, each.line, each.width) for each in alone] == [
        ("beta=0.1", "SmeLU 0.1", "SmeLU", 0.1),
        ("beta=0.3-0.2-0.2-0.1-0.1", "SmeLU 0.3 to 0.1", "", None),
    ]


def test_labels_differ_where_the_variants_do():
    layers = [f"{{'class_name': 'GSmeLU', 'config': {{'alpha': {alpha}}}}}" for alpha in (0.1, 0.2)]
    found = crossed(Config(), layers, {})
    assert len({each.label for each in found}) == 2
    Sweep(Config(), found, found[0].name)  # names without spaces


def test_a_width_and_a_grid_of_widths_contradict_each_other():
    with pytest.raises(InputError, match=r"must have no width where model.beta has values of its own, got smelu:0.1"):
        crossed(Config(), ["smelu:0.1"], {"model.beta": [0.2]})


def test_other_fields_leave_the_given_configuration_alone():
    config = Config()
    changed = variants.with_fields(config, {"model.activation": "relu", "data.synthetic.users": 9, "seed": 4})
    assert config == Config()
    expected = dataclasses.replace(Config(seed=4), model=Model(activation="relu", beta=None))
    expected.data.synthetic.users = 9
    assert changed == expected


def test_an_activation_without_a_width_has_no_beta():
    config = Config(model=Model(activation="smelu", beta=0.2))
    assert variants.with_fields(config, {"model.activation": "relu"}).model.beta is None
    assert variants.with_fields(config, {"model.activation": "swish"}).model.beta == 0.2


def test_a_field_that_breaks_a_rule_is_refused():
    with pytest.raises(InputError, match=r"train.epochs must be at least 1, got 0"):
        variants.with_fields(Config(), {"train.epochs": 0})


LAYER = "{'class_name': 'GSmeLU', 'config': {'alpha': 0.5, 'beta': 0.25}}"


@pytest.mark.parametrize(
    ("text", "fields", "name"),
    [
        ("relu", {"model.activation": "relu"}, "ReLU"),
        ("smelu", {"model.activation": "smelu"}, "SmeLU 0.3"),
        ("smelu:0.25", {"model.activation": "smelu", "model.beta": 0.25}, "SmeLU 0.25"),
        (
            LAYER,
            {"model.activation": {"class_name": "GSmeLU", "config": {"alpha": 0.5, "beta": 0.25}}},
            "GSmeLU",
        ),
    ],
)
def test_an_activation_as_one_writes_it(text, fields, name):
    assert variants.of_activation(text) == fields
    assert variants.label(text, Config(model=Model(beta=0.3))) == name
    assert variants.listed(f"{text},{LAYER}, mish,") == [text, LAYER, "mish"]


@pytest.mark.parametrize(
    "text", ["rleu", "relu:0.1", "smelu:wide", "smelu:-1", "smelu:", "{'class_name': 'Nothing'}", "{"]
)
def test_no_activation(text):
    with pytest.raises(InputError) as raised:
        variants.of_activation(text)
    assert str(raised.value).startswith(f"an activation must be a name, name:beta or a dictionary, got {text!r}: ")


def test_examples_in_docstrings():
    assert doctest.testmod(variants).failed == 0


def test_relative_widths_are_a_line_of_their_own_and_replace_a_fixed_one():
    config = Config(model=Model(beta=0.15))
    found = crossed(config, ["smelu:0.1:0.3rms", "relu"], {})
    assert [(each.label, each.line, each.width) for each in found] == [
        ("SmeLU 0.1", "SmeLU", 0.1),
        ("SmeLU 0.3 rms", "SmeLU rms", 0.3),
        ("ReLU", "", None),
    ]
    cells = grid(*found, *sweeps.activation("smelu", 0.1, relative=(0.3,)), config=config, seeds=(1,)).cells()
    widths = [(cell.config.model.beta, cell.config.model.relative_beta) for cell in cells]
    assert widths == [(0.1, None), (None, 0.3), (None, None), (0.1, None), (None, 0.3)]
    varied = crossed(config, ["smelu", "relu"], {"model.relative_beta": [0.1, 0.3]})
    assert [each.label for each in varied] == ["SmeLU 0.1 rms", "SmeLU 0.3 rms", "ReLU"]
    with pytest.raises(InputError, match=r"must have no width where model\.relative_beta has values of its own"):
        crossed(config, ["smelu:0.1"], {"model.relative_beta": [0.1]})


def test_a_width_in_the_text_of_a_configuration_is_in_its_field():
    config = variants.with_fields(Config(), {"model.activation": "smelu:0.3rms"})
    assert (config.model.activation, config.model.beta, config.model.relative_beta) == ("smelu", None, 0.3)
    with pytest.raises(InputError, match=r"model\.beta must be null where model\.activation has a width"):
        variants.with_fields(Config(model=Model(beta=0.1)), {"model.activation": "smelu:0.3rms"})
