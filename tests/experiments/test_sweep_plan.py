"""What a sweep is made of: rules for its variants, and the goal that a user writes in one line."""

from __future__ import annotations

import doctest

import pytest

from smooth_recs.config import Config
from smooth_recs.errors import InputError
from smooth_recs.experiments.sweeps import Sweep, Variant, sweep_plan

TEACHER, STUDENT = Variant("teacher", "Teacher"), Variant("student", "Student")
MEASURES = ("pd", "auc_loss", "examples_per_second")
NAMES = ("relu", "smelu:0.1", "swish")


def goal(text):
    return sweep_plan.parse_goal(text, MEASURES, NAMES)


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("min pd", []),
        ("max examples_per_second", []),
        ("min pd subject to auc_loss <= relu", [("auc_loss", 1, 1.0, "relu")]),
        ("min auc_loss subject to pd <= 0.08", [("pd", 1, 0.08, "")]),
        ("min auc_loss  subject  to pd<=8%", [("pd", 1, 0.08, "")]),
        ("min pd subject to auc_loss <= relu + 0.5%", [("auc_loss", 1, 1.005, "relu")]),
        ("min pd subject to auc_loss <= smelu:0.1 -2 %", [("auc_loss", 1, 0.98, "smelu:0.1")]),
        (
            "min pd subject to auc_loss <= relu and examples_per_second >= relu - 10%",
            [("auc_loss", 1, 1.0, "relu"), ("examples_per_second", -1, 0.9, "relu")],
        ),
    ],
)
def test_goals(text, bounds):
    found = goal(text)
    assert (found.sign, found.measure) == (1 if text.startswith("min") else -1, text.split()[1])
    assert [(each.measure, each.sign, pytest.approx(each.limit), each.than) for each in found.bounds] == bounds


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "choose must be 'min MEASURE' or 'max MEASURE', then 'subject to MEASURE <= LIMIT', got ''"),
        ("pd", "choose must be 'min MEASURE'"),
        ("min pd where auc_loss <= relu", "choose must be 'min MEASURE'"),
        ("min PD", "choose must name a measure of the sweep (pd, auc_loss, examples_per_second), got 'PD'"),
        ("min pd subject to aucloss <= relu", "choose must name a measure of the sweep (auc_loss), got 'aucloss'"),
        ("min pd subject to auc_loss < relu", "choose: a bound must be 'MEASURE <= LIMIT' or 'MEASURE >= LIMIT', got"),
        (
            "min pd subject to auc_loss <= rleu",
            "choose must name a number, or a variant of the sweep (relu), got 'rleu'",
        ),
        ("min pd subject to auc_loss <= rleu + 1%", "choose must name a number, or a variant of the sweep (relu)"),
        ("min pd subject to auc_loss <= nan", "choose must name a number, or a variant of the sweep (relu"),
    ],
)
def test_goals_that_cannot_be(text, words):
    with pytest.raises(InputError) as raised:
        goal(text)
    assert str(raised.value).startswith(words)


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


def test_examples_in_docstrings():
    assert doctest.testmod(sweep_plan).failed == 0
