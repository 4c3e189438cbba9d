"""Names of columns of real logs, and what they say."""

from __future__ import annotations

import pytest

from smooth_recs.log_profile import column_names


@pytest.mark.parametrize(
    ("name", "amount"),
    [
        ("price", True),
        ("duration_ms", True),
        ("n_shown", True),
        ("clicks_so_far", True),
        ("itemSeenInSession", True),
        ("follow_user_num", True),
        ("price_rank", False),
        ("user_id", False),
        ("deviceType", False),
        ("onehot_feat3", False),
        ("C14", False),
        ("zip_code", False),
        ("is_rand", None),
        ("Unnamed", None),
    ],
)
def test_amounts_and_categories(name, amount):
    assert column_names.is_amount(name) is amount


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("long_view", True),
        ("is_like", True),
        ("play_time_ms", True),
        ("watched", True),
        ("clicks_so_far", False),
        ("prev_click", False),
        ("like_count", False),
        ("device", False),
    ],
)
def test_outcomes_are_not_what_was_before(name, outcome):
    assert column_names.is_outcome(name) is outcome


@pytest.mark.parametrize(
    ("name", "entity"),
    [
        ("user", True),
        ("UID", True),
        ("movie", True),
        ("clicked_item", True),
        ("n_items", False),
        ("num_user", False),
        ("item_price", False),
        ("prev_item_count", False),
        ("2", False),
    ],
)
def test_what_has_an_id(name, entity):
    assert column_names.is_entity(name) is entity
