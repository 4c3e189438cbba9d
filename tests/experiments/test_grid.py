"""The runs of a sweep: what each is configured with, what it needs, and how they are made from flags."""

from __future__ import annotations

import pytest

from smooth_recs.config import Config, Data, Model
from smooth_recs.errors import InputError
from smooth_recs.experiments import sweeps
from smooth_recs.experiments.cells import distinct
from smooth_recs.experiments.sweeps import Sweep, Variant
from smooth_recs.experiments.sweeps.sweep_plan import crossed
from smooth_recs.experiments.sweeps.sweep_runs import Grid

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
    ("variants", "words"),
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
def test_a_grid_that_cannot_be(variants, words):
    with pytest.raises(InputError) as raised:
        grid(*variants)
    assert str(raised.value).startswith(words)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"variants": ()}, "variants must be one or more, got none"),
        ({"variants": [TEACHER, TEACHER]}, "the names of variants must differ, got 'teacher' 2 times"),
        ({"variants": [Variant("a", "A"), Variant("b", "A")]}, "the labels of variants must differ, got 'A' 2 times"),
        ({"variants": [Variant("a b", "A")]}, "the name of a variant must have neither spaces nor @, got 'a b'"),
        ({"variants": [Variant("", "A")]}, "the name of a variant must have neither spaces nor @, got ''"),
        ({"baseline": "relu"}, "baseline must be one of teacher, student, got 'relu'"),
        ({"pairs": 0}, "pairs must be at least 1, got 0"),
    ],
)
def test_a_sweep_that_cannot_be(arguments, words):
    with pytest.raises(InputError) as raised:
        Sweep(**{"config": Config(), "variants": [TEACHER, STUDENT], "baseline": "teacher", **arguments})
    assert str(raised.value) == words


def test_a_sweep_of_single_siblings_cannot_be():
    config = Config()
    config.siblings.replicas = 1
    with pytest.raises(InputError, match=r"siblings.replicas must be at least 2, got 1"):
        Sweep(config, [TEACHER], "teacher")


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
