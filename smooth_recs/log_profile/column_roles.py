"""Roles of a log's columns, guessed from their values and names, each with the reason for which it was chosen.

A guess is a start. What the values show counts more than a name: a column is left out if it is constant, if its late
values are new, or if it alone tells the label so well that it is probably known only afterwards.
"""

from __future__ import annotations

import dataclasses
import keyword
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from smooth_recs.errors import InputError
from smooth_recs.fields import did_you_mean
from smooth_recs.log_profile import column_names
from smooth_recs.log_profile.profile import Column, Profile
from smooth_recs.measures.accuracy import auc_loss
from smooth_recs.schema import Categorical, Numeric

LARGEST_VOCABULARY = 10_000  # values; columns with more are hashed
_LARGEST_TABLE = 1_000_000  # buckets
_LARGEST_RANGE = 1_000  # of integers that are their own ids
_FEW = 50  # different integers that are rather categories than amounts
_RARE = 100  # values of a vocabulary, from which on those that occur once share a row
_TELLING_AUC = 0.8  # of a column alone
_MET_BEFORE = 0.3  # of the late values, below which an embedding has learnt nothing of what it is asked
_LONG_TEXT = 60  # characters, on average
_UNITS = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}
_EARLIEST, _LATEST = 6.3e8, 2.5e9  # seconds since 1970 that a log can be of: 1989 to 2049
NONE = "none"  # what a flag says for no column


@dataclasses.dataclass(frozen=True)
class Given:
    """What the user says; empty = guess.

    Attributes:
      label, query, time, weight: names of columns; all but the label may be `none`.
      label_threshold: the label is 1 where the column is at or above it.
      ignore: columns that are no features.
    """

    label: str = ""
    query: str = ""
    time: str = ""
    weight: str = ""
    label_threshold: float | None = None
    ignore: Sequence[str] = ()

    def check(self, profile: Profile) -> None:
        """Raises InputError where a name is that of no column or of one that cannot have the role, or two are the same.

        Also where the threshold is no finite number.
        """
        if self.label_threshold is not None and not math.isfinite(self.label_threshold):
            raise InputError(f"--label_threshold must be a finite number, got {self.label_threshold:g}")
        named = [(f"--{role}", getattr(self, role)) for role in ("label", "query", "time", "weight")]
        for flag, name in [*named, *(("--ignore", each) for each in self.ignore)]:
            if name and name not in profile.columns and (name != NONE or flag in ("--label", "--ignore")):
                hint = did_you_mean(name, profile.columns) or f"there are {', '.join(profile.columns)}"
                raise InputError(f"{flag} must name a column, got {name!r}; {hint}")
        roles: dict[str, str] = {}
        for role in ("label", "query", "time", "weight"):
            name = getattr(self, role)
            if name and name != NONE:
                if wrong := unfit(profile, role, name, roles):
                    raise InputError(f"--{role} {wrong}")
                roles[name] = role


def unfit(profile: Profile, role: str, name: str, taken: Mapping[str, str]) -> str:
    """Why the column cannot have the role, to follow its name; empty where it can.

    Args:
      profile: has the column.
      role: `label`, `query`, `time` or `weight`.
      name: of the column.
      taken: the roles of other columns, by their names.
    """
    if name in taken:
        return f"must name another column than the {taken[name]}, got {name!r} for both"
    column = profile.columns[name]
    holds = f"got {name!r}, which holds {_examples(profile, name)}"
    if role == "time" and column.kind not in ("integer", "number", "time"):
        return f"must name a column of numbers or of ISO 8601 times, {holds}"
    if role == "weight" and column.kind not in ("integer", "number"):
        return f"must name a column of numbers, {holds}"
    if role == "weight" and column.low < 0:
        return f"must name a column without negative numbers, got {name!r}, from {shown(column.low)} on"
    return ""


@dataclasses.dataclass(frozen=True)
class Feature:
    """A column that becomes a feature, or could become one.

    Attributes:
      column: its name in the files.
      feature: None where it can become none.
      reason: why it is made so, or why it is left out: then in a word or two, a colon, and the rest.
      used: false for a column that is left out.
    """

    column: str
    feature: Numeric | Categorical | None
    reason: str
    used: bool


@dataclasses.dataclass(frozen=True)
class Roles:
    """The role of every column.

    Attributes:
      label, query, time, weight: names of columns; empty = none.
      label_threshold: None where the label's column holds 0 and 1.
      reasons: of these roles, by `label`, `query`, `time` and `weight`; where there is no time, why a column that is
        named as one is none.
      features: all other columns, those that are left out as well.
    """

    label: str
    label_threshold: float | None
    query: str
    time: str
    weight: str
    reasons: dict[str, str]
    features: tuple[Feature, ...]


def label_candidates(profile: Profile) -> list[str]:
    """The columns that can be the label, the likeliest group of them: one where there is no doubt.

    Columns of 0 and 1 named as labels are; else those named as outcomes; else ratings; else all of 0 and 1.
    """
    binary = [c.name for c in profile.columns.values() if _is_binary(c)]
    two = [name for name in binary if profile.columns[name].distinct == 2]
    groups = (
        [name for name in binary if name.lower() in column_names.LABELS],
        [name for name in two if column_names.is_outcome(name)],
        [name for name in profile.columns if _is_rating(profile.columns[name])],
        two,
    )
    return next(filter(None, groups), [])


def roles_of(profile: Profile, given: Given) -> Roles:
    """The role of every column.

    Raises:
      InputError: what is given is wrong; no column looks like a label, or several do.
    """
    given.check(profile)
    label, threshold, reasons = _label(profile, given)
    taken = {label: "label"}

    def chosen(role: str, candidates: Sequence[str], found: str) -> str:
        name = getattr(given, role)
        if name == NONE:
            return ""
        if name and (wrong := unfit(profile, role, name, taken)):  # by the label, which may have been guessed
            raise InputError(f"--{role} {wrong}")
        name = name or next((each for each in candidates if each not in taken), "")
        if name:
            reasons[role] = f"you named it; {found}" if getattr(given, role) else found
            taken[name] = role
        return name

    time = chosen("time", time_candidates(profile), "")
    if time:
        reasons["time"] += time_range(profile.columns[time])
    elif given.time != NONE:
        reasons["time"] = _nearly_a_time(profile)
    weight = chosen("weight", weight_candidates(profile), "its name says so")
    query = chosen("query", query_candidates(profile), "")
    if query:
        rows = profile.good / max(profile.columns[query].distinct, 1)
        reasons["query"] += f"{rows:,.1f} rows each on average"
        if _is_user(query):
            reasons["query"] += "; no column names a request, so all rows of a user count as one"
    others = [
        column for name, column in profile.columns.items() if name not in taken or (name == query and _is_user(query))
    ]
    features = [_feature(profile, column, label, threshold, time) for column in others]
    features = [
        dataclasses.replace(each, used=False, reason="ignored: you said so") if each.column in given.ignore else each
        for each in features
    ]
    if not any(each.used for each in features):
        raise InputError(f"--data: no column is left for a feature beside {', '.join(sorted(taken))}")
    return Roles(label, threshold, query, time, weight, reasons, _named_apart(features))


def _is_binary(column: Column) -> bool:
    return column.kind == "integer" and column.low >= 0 and column.high <= 1 and column.missing < 0.01


def _is_rating(column: Column) -> bool:
    named = set(column_names.words(column.name)) & set(column_names.RATINGS)
    return bool(named) and column.kind in ("integer", "number") and column.distinct <= 20 and column.high > 1


def _label(profile: Profile, given: Given) -> tuple[str, float | None, dict[str, str]]:
    candidates = [given.label] if given.label else label_candidates(profile)
    if len(candidates) != 1:
        what = (
            f"one of {', '.join(candidates)}, which all hold 0 and 1"
            if candidates
            else f"the label: no column holds 0 and 1{_nearly_a_label(profile)}"
        )
        raise InputError(f"--label must name {what}")
    (name,) = candidates
    column, why = profile.columns[name], "you named it" if given.label else "its name and its values say so"
    if column.kind not in ("integer", "number"):
        raise InputError(f"--label must name a column of numbers, got {name!r}, which holds {_examples(profile, name)}")
    threshold = given.label_threshold
    if threshold is None and not (column.low >= 0 and column.high <= 1 and column.kind == "integer"):
        if not _is_rating(column):
            raise InputError(
                f"--label must name a column of 0 and 1, got {name!r}, from {shown(column.low)} to "
                f"{shown(column.high)}; --label_threshold says from where on it is 1"
            )
        threshold = float(np.ceil(column.low + 0.7 * (column.high - column.low)))
    share = column.mean if threshold is None else float(np.nanmean(_labels(profile, name, threshold)))
    why += f"; {share:.2%} of the rows are 1"
    if threshold is not None:
        why += f", those from {threshold:g} on, of {shown(column.low)} to {shown(column.high)}"
    return name, threshold, {"label": why}


def _nearly_a_label(profile: Profile) -> str:
    """Why the first column that is named as a label is none, to follow a sentence; empty where no column is."""
    named = [name for name in profile.columns if name.lower() in column_names.LABELS]
    named += [name for name in profile.columns if column_names.is_outcome(name)]
    for name in named:
        column = profile.columns[name]
        if column.kind not in ("integer", "number"):
            return f"; {name} holds {_examples(profile, name)}" if column.kind != "none" else ""
        if column.low < 0 or column.high > 1:
            values = f"{shown(column.low)} to {shown(column.high)}"
            return f"; {name} is {values}: --label={name} --label_threshold=X makes it 1 from X on"
        if column.missing:
            return f"; {name} has no value in {column.missing:.1%} of the rows: --label={name} leaves these out"
    return ""


def _labels(profile: Profile, name: str, threshold: float | None) -> Any:
    """The labels of the sample, NaN where there is none."""
    values = profile.numbers(name)
    return values if threshold is None else np.where(np.isnan(values), np.nan, values >= threshold)


def time_unit(column: Column) -> str:
    """The unit of a column of numbers that can be times since 1970; empty for others."""
    if column.kind not in ("integer", "number"):
        return ""
    units = (
        unit for unit, scale in _UNITS.items() if _EARLIEST * scale <= column.low <= column.high <= _LATEST * scale
    )
    return next(units, "")


def time_candidates(profile: Profile) -> list[str]:
    """Columns that can say when a row was, the likeliest first."""

    def score(column: Column) -> float:
        words, name = set(column_names.words(column.name)), column.name.lower()
        if column.missing or column.kind not in ("integer", "number", "time") or column.distinct < 2:
            return 0.0
        if column_names.OUTCOMES & words or {"duration", "elapsed"} & words:
            return 0.0
        named = 3.0 * (name in column_names.TIMES) or 2.0 * bool({"time", "timestamp", "ts"} & words)
        named = named or 1.0 * bool({"date", "dt", "at"} & words)
        clock = 4.0 * (column.kind == "time" or (bool(time_unit(column)) and named > 0))
        # Of two clocks that one which tells rows apart.
        return (named + clock) * (named + clock >= 3) + column.distinct / max(profile.good, 1)

    scores = {name: score(column) for name, column in profile.columns.items()}
    return [name for name in sorted(scores, key=lambda each: -scores[each]) if scores[name] >= 3]


def _nearly_a_time(profile: Profile) -> str:
    """Why the first column that is named as a time is none; empty where no column is."""
    for name, column in profile.columns.items():
        if name.lower() in (*column_names.TIMES, "date") and column.kind == "text" and not column.listed:
            return f"{name} holds {_examples(profile, name, 1)}: neither numbers nor ISO 8601"
    return ""


def time_range(column: Column) -> str:
    """The first and the last time, as far as the values say."""
    unit = "seconds" if column.kind == "time" else time_unit(column)
    if not unit:
        return f"from {shown(column.low)} to {shown(column.high)}, in a unit of the log's own"
    # By NumPy, which knows the year 0 as well: datetime does not.
    ends = (np.datetime64(math.floor(end / _UNITS[unit]), "s").astype("M8[m]") for end in (column.low, column.high))
    times = " to ".join(str(end).replace("T", " ") for end in ends)
    return f"{times} UTC, {unit if column.kind != 'time' else 'ISO 8601'}"


def weight_candidates(profile: Profile) -> list[str]:
    """Columns that are named as weights and hold none that is negative."""
    return [
        name
        for name, column in profile.columns.items()
        if name.lower() in column_names.WEIGHTS and column.kind in ("integer", "number") and column.low >= 0
    ]


def query_candidates(profile: Profile) -> list[str]:
    """Columns that can say which rows were one request, the likeliest first: a value has more than one row."""

    def group(column: Column) -> int | None:
        words = set(column_names.words(column.name))
        several = column.distinct > 1 and profile.good / column.distinct > 1.05 and column.missing < 0.5
        if column.kind not in ("integer", "text") or column.listed or not several:
            return None
        groups = [number for number, names in enumerate(column_names.REQUESTS) if words & set(names)]
        if groups and (column_names.is_id(column.name) or len(words) == 1):
            return groups[0]
        return len(column_names.REQUESTS) if _is_user(column.name) else None

    found = {name: group(column) for name, column in profile.columns.items()}
    return sorted((name for name, place in found.items() if place is not None), key=lambda each: found[each] or 0)


def shown(number: float) -> str:
    """A number for a reader, whole ones with all digits."""
    return f"{number:,.0f}" if float(number).is_integer() and abs(number) < 1e15 else f"{number:.4g}"


def _is_user(name: str) -> bool:
    words = column_names.words(name)
    return bool(set(words) & set(column_names.USERS)) and (column_names.is_id(name) or len(words) == 1)


def _feature(profile: Profile, column: Column, label: str, threshold: float | None, time: str) -> Feature:
    """The feature that a column becomes, or why it is left out."""
    feature, reason = _input(profile, column)
    out = _left_out(profile, column, label, threshold, time, isinstance(feature, Numeric))
    return Feature(column.name, feature, out or reason, not out)


def _left_out(profile: Profile, column: Column, label: str, threshold: float | None, time: str, numeric: bool) -> str:
    """Why a column is no feature; empty where it is one."""
    if column.kind == "none":
        return "no value: in no row"
    if column.distinct == 1 and not column.missing:
        return "constant: the same value in all rows"
    auc = telling_auc(profile, column, label, threshold)
    if auc >= _TELLING_AUC:
        return f"suspect, AUC {auc:.2f}: it alone tells {label} as well as what is known only afterwards"
    two = column.kind == "integer" and column.distinct == 2
    if column_names.is_outcome(column.name) and (two or (numeric and auc >= 0.6)):
        return f"suspect, outcome: by its name it is known only after {label}"
    if time_unit(column) and column_names.is_amount(column.name) is None and numeric:
        return "another time: later rows have values that no earlier one has"
    if not numeric and not column.listed and column.met_before < _MET_BEFORE:
        return (
            f"new values: {column.met_before:.1%} of those in the last fifth of the rows are in earlier ones, and "
            f"nothing is learnt about the rest"
        )
    texts = [text for text in profile.sample[column.name][:1000] if text]
    if column.kind == "text" and not column.listed and texts and np.mean([len(text) for text in texts]) > _LONG_TEXT:
        return "long texts: no categories"
    return ""


def telling_auc(profile: Profile, column: Column, label: str, threshold: float | None) -> float:
    """How well a column alone tells the label, in the sample; 0.5 where there are too few rows to say.

    A number by its size, in either direction; a category of few values by the click rate of its value.
    """
    labels = _labels(profile, label, threshold)
    known = ~np.isnan(labels)
    if column.kind in ("integer", "number", "time"):
        scores = profile.numbers(column.name)
        known &= ~np.isnan(scores)
    elif column.distinct <= _FEW:
        values, codes = np.unique(profile.sample[column.name].astype(bytes), return_inverse=True)
        ones = np.bincount(codes[known], labels[known], values.size)
        scores = (ones / np.maximum(np.bincount(codes[known], minlength=values.size), 1))[codes]
    else:
        return 0.5
    labels, scores = labels[known], scores[known]
    if min(np.count_nonzero(labels == 1), np.count_nonzero(labels == 0)) < 20:
        return 0.5
    # Ranks in place of the values, which may be infinite or beyond float32.
    ranks = np.unique(scores, return_inverse=True)[1]
    auc = 1 - (auc_loss(labels, ranks / max(ranks.max(), 1)) or 0.0)
    return max(auc, 1 - auc)


def _input(profile: Profile, column: Column) -> tuple[Numeric | Categorical | None, str]:
    """What a column becomes if it is a feature, and why so."""
    name = column.name
    if column.kind == "none":
        return None, ""
    values = f"{'' if column.exact else 'about '}{column.distinct:,} values"
    several = _several(profile, column)
    if several:
        separator, most, items = several
        small = items <= LARGEST_VOCABULARY
        return (
            Categorical(
                name,
                "vocabulary" if small else "hash",
                size=0 if small else _table_size(items),
                max_values=most,
                separator=separator,
            ),
            f"up to {most} values a row, about {items:,} different ones",
        )
    if _is_numeric(profile, column):
        log = column.low >= 0 and column.skewness[0] > 1 and abs(column.skewness[1]) < column.skewness[0]
        missing = "indicator" if column.missing else "zero"
        reason = f"from {shown(column.low)} to {shown(column.high)}, mean {shown(column.mean)}"
        reason += ", skewed: its logarithm" if log else ""
        reason += f"; {column.bad:,} values are no numbers, and their rows are left out" if column.bad else ""
        return Numeric(name, "log_standardize" if log else "standardize", missing=missing), reason  # type: ignore[arg-type]
    integer = column.kind == "integer" and not column.bad and column.low >= 0
    dtype: Any = "int64" if integer else "string"
    if integer and column.high < _LARGEST_RANGE and column.high < 2 * column.distinct + 1:
        return Categorical(name, "identity", size=int(column.high) + 1, dtype=dtype), f"{values}, integers from 0 on"
    if _has_decimal_commas(profile, column):
        values += "; read as texts: numbers are written with a point, not with a comma"
    if column.distinct <= LARGEST_VOCABULARY:
        if column.distinct <= _RARE:
            return Categorical(name, "vocabulary", dtype=dtype), values
        return (
            Categorical(name, "vocabulary", dtype=dtype, min_count=2),
            f"{values}; those met once share a row with new ones, which is trained so",
        )
    size = _table_size(column.distinct)
    return Categorical(
        name, "hash", size=size, dtype=dtype
    ), f"{values}, hashed into {size / column.distinct:.1f} times as many buckets"


def _is_numeric(profile: Profile, column: Column) -> bool:
    if column.kind in ("text", "time") or _is_binary(column):
        return False
    if column_names.is_id(column.name) or column_names.is_entity(column.name) or _beyond_int64(profile, column):
        return False
    if column.kind == "number":
        return True
    named = column_names.is_amount(column.name)
    return column.distinct > _FEW if named is None else named


def _beyond_int64(profile: Profile, column: Column) -> bool:
    """Whether the numbers are whole, as far as the sample shows, and too large for an int64: ids."""
    return column.high >= 2.0**63 and all(text.isdigit() for text in profile.sample[column.name] if text)


def _has_decimal_commas(profile: Profile, column: Column) -> bool:
    """Whether the texts are numbers with a decimal comma, as Excel writes them in much of Europe."""
    texts = [text for text in profile.sample[column.name] if text]
    commas = [text for text in texts if re.fullmatch(rb"\s*[-+]?(?:\d+|\d{1,3}(?:\.\d{3})+),\d+\s*", text)]
    return column.kind == "text" and len(commas) > 0 and len(commas) > 0.5 * len(texts)


def _table_size(values: int) -> int:
    """Twice as many buckets as values, rounded up to two digits."""
    digits = 10 ** max(len(str(2 * values)) - 2, 0)
    return int(min(-(-2 * values // digits) * digits, _LARGEST_TABLE))


_WORD = re.compile(rb"[\w.+-]+\Z")


def _several(profile: Profile, column: Column) -> tuple[str, int, int] | None:
    """Separator, most values of a row and how many different ones, where the texts are lists; else None."""
    if column.kind != "text":
        return None
    texts = [text for text in profile.sample[column.name] if text]
    brackets = sum(text.startswith(b"[") and text.endswith(b"]") for text in texts) > 0.9 * len(texts)
    if brackets and not column.listed:
        rows = [[item for item in re.split(rb"[\s,]+", text.strip(b"[] ")) if item] for text in texts]
        return "|", min(max(map(len, rows), default=1), 16), len({item for row in rows for item in row})
    for separator in "|,; ":
        rows = [text.split(separator.encode()) for text in texts]
        counts = {len(row) for row in rows}
        if counts <= {1} and not column.listed:
            continue
        items = {item for row in rows for item in row}
        # Lists vary in length, and are made of few different words; a sentence or `Paris, France` is not.
        fewer = len(items) <= (0.5 if separator == " " else 1.0) * len(set(texts))
        if column.listed or (len(counts) > 1 and fewer and all(map(_WORD.match, items))):
            return separator, min(max(counts, default=1), 16), len(items)
    return None


def _examples(profile: Profile, name: str, most: int = 3) -> str:
    found = dict.fromkeys(text for text in profile.sample[name] if text)
    return ", ".join(text.decode("utf-8", "replace")[:20] for text in list(found)[:most]) or "nothing"


def _named_apart(features: Sequence[Feature]) -> tuple[Feature, ...]:
    """The features under names that an input of an export can have, no two alike; the column keeps its own."""
    used: set[str] = set()
    renamed = []
    for each in features:
        if each.feature is None:
            renamed.append(each)
            continue
        name = re.sub(r"\W", "_", each.column, flags=re.ASCII).lstrip("_0123456789") or "column"
        name += "_" * (keyword.iskeyword(name) or name == "self")
        plain, number = name, 2
        while name.lower() in used:
            name, number = f"{plain}_{number}", number + 1
        used.add(name.lower())
        column = each.column if name != each.column else ""
        renamed.append(dataclasses.replace(each, feature=dataclasses.replace(each.feature, name=name, column=column)))
    return tuple(renamed)
