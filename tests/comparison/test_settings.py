"""The flags of a comparison: what is wrong with them is one line."""

from __future__ import annotations

import re
from typing import Any

import pytest

from smooth_recs.comparison.settings import IN_CONFIG, Settings, Shard
from smooth_recs.config import Evaluation
from smooth_recs.errors import InputError


@pytest.mark.parametrize("text", ["", "1", "0/3", "4/3", "a/b", "1/0", "-1/3", "1/3/5", "1.0/3"])
def test_a_shard_is_i_of_n(text):
    with pytest.raises(InputError, match=rf"^--shard must be i/n .* got {re.escape(repr(text))}$"):
        Shard.parse(text)


def test_what_the_configuration_says_is_called_as_it_is_there() -> None:
    of_flags = Settings("a.csv", "b.csv", "out.json", columns={"multiplier": "bid"})
    of_config = Settings("a.csv", "b.csv", "out.json", evaluation=Evaluation(order_by="bid"), named=IN_CONFIG)
    assert (of_flags.multiplier_flag, of_config.multiplier_flag) == ("--multiplier", "evaluation.order_by")
    for settings, name in ((of_flags, "--slices"), (of_config, "evaluation.slices")):
        with pytest.raises(InputError, match=f"^{re.escape(name)} must name"), settings.named_as_given():
            raise InputError("evaluation.slices must name any of label, got 'x'")
        with pytest.raises(InputError, match=r"^--max_pd=2 cannot be"), settings.named_as_given():
            raise InputError("max_pd=2 cannot be measured")
    with pytest.raises(InputError, match=r"^evaluation\.k must be at least 1, got 0$"):
        Settings("a.csv", "b.csv", "out.json", evaluation=Evaluation(k=0), named=IN_CONFIG)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"output": "out.txt"}, "--output must be a .json file, got "),
        (
            {"merge": True, "shard": Shard(1, 2)},
            "--merge joins shards that are there, so it must not come with --shard",
        ),
        ({"key": ("",)}, "--key and --slices must be names with commas, got an empty one"),
        ({"evaluation": Evaluation(k=0)}, "--k must be at least 1, got 0"),
        ({"evaluation": Evaluation(threshold=1.5)}, "--threshold must be from 0 to 1, got 1.5"),
    ],
)
def test_what_is_wrong_with_the_flags_is_one_line(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as error:
        Settings(**{"a": "a.csv", "b": "b.csv", "output": "out.json"} | changes)
    assert str(error.value).startswith(words)
    assert "\n" not in str(error.value)
