"""A configuration file for a log: Python with a comment for each choice, to be read, changed and trained.

Sizes and rates follow the number of rows, from configurations of logs of that size.
"""

from __future__ import annotations

import dataclasses
import json
import math
import textwrap
from typing import Any, NamedTuple

from smooth_recs.config import Data
from smooth_recs.log_profile.column_roles import Feature, Roles
from smooth_recs.log_profile.profile import Profile
from smooth_recs.schema import Categorical, Numeric

_WIDTH = 120
_TRAIN_SHARE = Data().train_fraction
_LEAST_STEPS = 500  # with fewer, two models have learnt nothing in which they could differ
_ROWS_IN_MEMORY = 20_000_000  # that `data.split="time"` may sort


class _Size(NamedTuple):
    """Settings for logs of that many training rows or more."""

    rows: int
    batch_size: int
    hidden_units: tuple[int, ...]
    embedding_dim: int
    dense_rate: float
    embedding_rate: float
    source: str


_SIZES = (
    _Size(800_000, 256, (256, 128, 64, 32, 16), 16, 0.01, 0.3, "those of the ready configuration demo_falling"),
    _Size(100_000, 256, (64, 32, 16), 8, 0.05, 0.2, "those of the ready configuration trivago"),
    _Size(10_000, 64, (64, 32, 16), 8, 0.02, 0.2, "for a small log, not tuned"),
    _Size(0, 32, (32, 16), 8, 0.01, 0.3, "for a very small log, not tuned"),
)


def text_of(profile: Profile, roles: Roles, output: str) -> str:
    """The text of the file.

    Args:
      profile: of the log.
      roles: of its columns.
      output: the path that the file will have, for the command in its first lines.
    """
    rows = math.floor(profile.good * _TRAIN_SHARE)
    size = next(each for each in _SIZES if rows >= each.rows)
    steps = max(rows // size.batch_size, 1)
    epochs = min(max(math.ceil(_LEAST_STEPS / steps), 1), 5)
    window = min(10 ** int(math.log10(max(rows / 10, 10))) * int(str(rows // 10 or 1)[0]), 100_000)
    features = [line for each in roles.features if each.used for line in _feature_lines(each)]
    out = [line for each in roles.features if not each.used for line in _left_out_lines(each)]
    if out:
        features += ["", "# Left out. Uncomment the columns that are known before a prediction is asked for."]
        features += out
    lines = [
        f'"""{_plain(profile.layout.path)}: {profile.rows:,} rows, written by `smooth-recs init`.',
        "",
        "Read the comments, change what is wrong, and train:",
        "",
        f"  smooth-recs train --config={_plain(output)} --workdir=runs/first",
        '"""',
        "",
        "from smooth_recs import config",
        "from smooth_recs.schema import Categorical, Numeric, Schema"
        if any(isinstance(each.feature, Numeric) for each in roles.features)
        else "from smooth_recs.schema import Categorical, Schema",
        "",
        "",
        "def get_config() -> config.Config:",
        "    schema = Schema(",
        "        features=(",
        *(f"            {line}" if line else "" for line in features),
        "        ),",
        *_role_lines(roles),
        "    )",
        "    data = config.Data(",
        *(f"        {line}" for line in _data_lines(profile, roles)),
        *_commented("        ", f"shuffle_window={window:_},", "at most a tenth of the training rows"),
        "    )",
        "    model = config.Model(",
        '        activation="smelu",',
        "        beta=0.15,  # wider: less prediction difference, up to a width that costs accuracy",
        f"        hidden_units={size.hidden_units},",
        f"        embedding_dim={size.embedding_dim},",
        "    )",
        f"    # Sizes and rates: {size.source}.",
        "    train = config.Train(",
        f"        batch_size={size.batch_size},",
        *_commented("        ", f"epochs={epochs},", f"{steps * epochs:,} steps in all"),
        f"        dense_learning_rate={size.dense_rate},",
        f"        embedding_learning_rate={size.embedding_rate},",
        "        final_learning_rate_share=0.02,  # both rates fall to a fiftieth over the run",
        "    )",
        "    return config.Config(data=data, model=model, train=train)",
    ]
    return "\n".join(lines) + "\n"


def _feature_lines(each: Feature) -> list[str]:
    return _commented("", f"{_code(each.feature)},", each.reason)


def _left_out_lines(each: Feature) -> list[str]:
    code = [f"# {_code(each.feature)},"] if each.feature else []
    return [*textwrap.wrap(f"# {_plain(each.column)}: {_plain(each.reason)}", 104, subsequent_indent="#   "), *code]


def _commented(indent: str, code: str, reason: str) -> list[str]:
    """Code with its comment behind it, or above it where the line would be too long."""
    line = f"{indent}{code}  # {_plain(reason)}"
    if len(line) + 8 <= _WIDTH or not reason:
        return [line if reason else f"{indent}{code}"]
    return [f"{indent}# {_plain(reason)}", f"{indent}{code}"]


def _code(feature: Any) -> str:
    """The call that makes the feature, with what differs from the defaults."""
    first, *fields = dataclasses.fields(feature)
    shown = [_value(getattr(feature, first.name)), _value(getattr(feature, fields[0].name))]
    shown += [
        f"{field.name}={_value(getattr(feature, field.name))}"
        for field in fields[1:]
        if getattr(feature, field.name) != field.default
    ]
    if isinstance(feature, Categorical) and feature.multi_valued and feature.separator == "|":
        shown.append('separator="|"')
    return f"{type(feature).__name__}({', '.join(shown)})"


def _value(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return f"{value:_}" if isinstance(value, int) and not isinstance(value, bool) else repr(value)


def _role_lines(roles: Roles) -> list[str]:
    lines = _commented("        ", f"label={_value(roles.label)},", roles.reasons["label"])
    if roles.label_threshold is not None:
        lines.append(f"        label_threshold={_value(roles.label_threshold)},")
    for field, role in (("query_id", "query"), ("timestamp", "time"), ("weight", "weight")):
        if name := getattr(roles, role):
            lines += _commented("        ", f"{field}={_value(name)},", roles.reasons[role])
    if not roles.query:
        lines.append("        # query_id: no column names a request; intervals then count each row as one of its own.")
    return lines


def _data_lines(profile: Profile, roles: Roles) -> list[str]:
    layout = profile.layout
    lines = [f"source={_value(layout.source)},", f"path={_value(layout.path)},", "schema=schema,"]
    if layout.source == "csv":
        if layout.delimiter != ",":
            lines.append(f"delimiter={_value(layout.delimiter)},")
        if not layout.header:
            lines += ["header=False,", f"column_names=({', '.join(map(_value, layout.columns))},),"]
    if roles.time and profile.good <= _ROWS_IN_MEMORY:
        lines += _commented("", 'split="time",', "the latest fifth of the rows is held out, as a model meets it")
    else:
        reason = "too many rows to sort by time in memory" if roles.time else roles.reasons.get("time")
        reason = reason or "no column tells when a row was"
        lines += _commented("", 'split="tail",', f"{reason}: the last fifth as the rows lie is held out")
    columns = profile.columns
    needed = [
        columns[name].missing * profile.good + columns[name].bad
        for name in (roles.label, roles.time, roles.weight)
        if name
    ]
    bad = [columns[each.column].bad for each in roles.features if each.used and isinstance(each.feature, Numeric)]
    share = (profile.malformed + sum(needed) + sum(bad)) / profile.rows
    if share > Data().max_malformed:
        lines += _commented(
            "",
            f"max_malformed={min(math.ceil(share * 110) / 100, 1.0)},",
            f"{share:.1%} of the rows cannot be read: look at them before you accept that",
        )
    return lines


def _plain(text: str) -> str:
    """A text of users in a comment or a docstring: one line, and nothing that ends the docstring."""
    return " ".join(text.split()).replace("\\", "/").replace('"""', "'''")
