"""What a schema refuses, before a file is read."""

from __future__ import annotations

import dataclasses
import json

import pytest

from smooth_recs.errors import InputError
from smooth_recs.fields import from_dict
from smooth_recs.schema import Categorical, Numeric, Schema


@pytest.mark.parametrize(
    "name",
    ["_id", "__x", "_", "class", "from", "lambda", "None", "True", "self", "2nd", "1", "a-b", "a b", "a.b", "é", ""],
)
def test_a_name_that_an_export_cannot_have_is_refused(name):
    with pytest.raises(InputError, match=r"^schema: a feature name must be letters, digits and underscores") as raised:
        Schema((Numeric(name),)).validate()
    assert f"got {name!r}" in str(raised.value)
    assert f"column={name!r}" in str(raised.value)  # which is the way out
    Schema((Numeric("other", column=name),)).validate()


@pytest.mark.parametrize("names", [("User", "user"), ("userid", "UserID")])
def test_names_that_differ_in_case_alone_are_refused(names):
    with pytest.raises(InputError, match=f"got '{names[0]}' and '{names[1]}'; rename one: name='...', column="):
        Schema(tuple(map(Numeric, names))).validate()
    Schema((Numeric(names[0]), Numeric("other", column=names[1]))).validate()


def test_the_columns_are_those_of_the_files():
    schema = Schema((Numeric("a", column="1"), Categorical("b", size=3), Numeric("c", column="b")), query_id="1")
    assert schema.columns == ("1", "b", "label")
    assert [feature.source_column for feature in schema.features] == ["1", "b", "b"]


@pytest.mark.parametrize(
    ("features", "others", "message"),
    [
        ((Numeric("a", column="label"),), {}, "the label column 'label' must not be a feature, got that of 'a'"),
        ((Numeric("label", column="a"),), {}, "the label column 'label' must not be a feature"),
        (
            (Categorical("a", size=3, max_values=2), Categorical("b", size=3, column="a")),
            {},
            "the column 'a' of 'a', which holds several values, must be read alike everywhere, got 'b' too",
        ),
        (
            (Categorical("a", size=3, max_values=2), Categorical("b", size=3, max_values=2, separator=",", column="a")),
            {},
            "got 'b' too",
        ),
        ((Categorical("a", size=3, max_values=2),), {"query_id": "a"}, "got 'query_id' too"),
    ],
)
def test_roles_of_a_column_that_do_not_go_together_are_refused(features, others, message):
    with pytest.raises(InputError, match=message):
        Schema(features, **others).validate()


def test_a_column_may_be_read_alike_by_several_features():
    Schema((Categorical("a", size=3, max_values=2), Categorical("b", size=9, max_values=2, column="a"))).validate()
    Schema((Categorical("a", size=3), Numeric("b", column="a")), query_id="a").validate()


def test_several_labels_in_their_order():
    schema = Schema((Numeric("a"),), label=("click", "stars"), label_threshold=(None, 4.0), weight="w")
    schema.validate()
    assert schema.labels == ("click", "stars")
    assert schema.label_thresholds == (None, 4.0)
    assert schema.columns == ("a", "click", "stars", "w")
    one = Schema((Numeric("a"),), label="stars", label_threshold=4.0)
    assert (one.labels, one.label_thresholds) == (("stars",), (4.0,))
    assert from_dict(Schema, json.loads(json.dumps(dataclasses.asdict(schema)))) == schema
    assert from_dict(Schema, json.loads(json.dumps(dataclasses.asdict(one)))) == one


def test_labels_are_chosen_and_keep_their_thresholds():
    schema = Schema((Numeric("a"),), label="stars", label_threshold=4.0)
    assert schema.select(()) == schema
    both = schema.select((), ("click", "stars"))
    assert (both.label, both.label_threshold) == (("click", "stars"), (None, 4.0))
    assert both.select((), ("stars",)) == schema
    assert both.select((), ("click", "sale")).label_threshold is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label": ("click", "a")}, "the label column 'a' must not be a feature"),
        ({"label": ("click", "click")}, "labels must differ, got 'click' twice"),
        ({"label": ("click",)}, r"label must be a name, or two or more, got \('click',\)"),
        ({"label": ("click", "long view")}, "begin with a letter and be none of probability, logit, got 'long view'"),
        ({"label": ("click", "probability")}, "be none of probability, logit, got 'probability'"),
        ({"label": ("click", "sale"), "label_threshold": 4.0}, "must be None or one for each of click, sale, got 4.0"),
        ({"label": ("click", "sale"), "label_threshold": (4.0,)}, r"must be None or one for each .*, got \(4.0,\)"),
        ({"label": "click", "label_threshold": (4.0,)}, r"label_threshold must be one for one label, got \(4.0,\)"),
    ],
)
def test_labels_that_cannot_be_are_refused_in_a_line(settings, message):
    with pytest.raises(InputError, match=f"^schema: .*{message}") as raised:
        Schema((Numeric("a"),), **settings).validate()
    assert "\n" not in str(raised.value)
    if isinstance(settings["label"], tuple) and len(settings["label"]) > 1 and "label_threshold" not in settings:
        with pytest.raises(InputError, match=message):
            Schema((Numeric("a"),)).select((), settings["label"])
