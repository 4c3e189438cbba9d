"""The schema of a click log: its columns, and how each feature becomes an input of the model.

A *raw* row holds what the log holds (strings, integers, floats, missing values). An *encoded* row holds what the model
takes: an id per categorical value, a float per numeric one. `data.encoding` turns the first into the second, in the
input pipeline and, unchanged, inside every export.
"""

from __future__ import annotations

import dataclasses
import difflib
import keyword
import re
from collections.abc import Sequence
from typing import Annotated, Literal

from smooth_recs import fields
from smooth_recs.errors import InputError
from smooth_recs.fields import at_least

Combiner = Literal["mean", "sum", "sqrtn"]
OUTPUTS = ("probability", "logit")
"""What the exports of a model call its outputs for the first label; those for others have the labels' names."""


@dataclasses.dataclass(frozen=True)
class Numeric:
    """A number; missing is NaN in a tensor and an empty field in a file.

    Attributes:
      name: input name, and the column's unless `column` names it.
      transform: `identity`; `log`: sign(x) log(1 + |x|); `standardize`: (x - mean) / standard deviation over the
        training rows; `log_standardize`: `log`, then `standardize`.
      missing: `zero` or `mean` (of the training rows) replaces a missing value, after the transform; `indicator` also
        adds a second input that is 1 where the value is missing.
      column: the column of the files, where it has another name than the feature; see `Schema`.
    """

    name: str
    transform: Literal["identity", "log", "standardize", "log_standardize"] = "standardize"
    missing: Literal["zero", "mean", "indicator"] = "zero"
    column: str = dataclasses.field(default="", repr=False)  # see `data.file_sources.read_as`

    @property
    def source_column(self) -> str:
        """The column that the feature is read from."""
        return self.column or self.name

    @property
    def width(self) -> int:
        """The number of inputs of the network that the feature becomes."""
        return 2 if self.missing == "indicator" else 1

    @property
    def needs_statistics(self) -> bool:
        """True where encoding needs mean and standard deviation over the training rows."""
        return self.transform.endswith("standardize") or self.missing == "mean"


@dataclasses.dataclass(frozen=True)
class Categorical:
    """One value of a category, or up to `max_values` of them; missing is "" or, for integers, -1.

    Attributes:
      name: input name, and the column's unless `column` names it.
      encoding: `identity`: the column is an integer in [0, size); `hash`: a string or integer, hashed into `size`
        buckets; `vocabulary`: the `size` most frequent values of the training rows seen at least `min_count` times.
      size: see `encoding`; for a vocabulary 0 keeps every value.
      dtype: `string` or `int64`, the type of a raw value and of the export's input.
      max_values: more than 1 makes the feature multi-valued: a raw tensor of shape [batch, max_values] padded with
        missing, in a CSV file one field joined by `separator`. Further values are dropped.
      combiner: how the embeddings of several values become one: `mean`, `sum` or `sqrtn`.
      min_count: see `encoding`.
      separator: see `max_values`.
      column: the column of the files, where it has another name than the feature; see `Schema`.

    Encoded ids are 0 to `size - 1` for known values, then one row for out-of-vocabulary values and one for missing.
    """

    name: str
    encoding: Literal["identity", "hash", "vocabulary"] = "hash"
    size: int = 0
    dtype: Literal["string", "int64"] = "string"
    max_values: Annotated[int, at_least(1)] = 1
    combiner: Combiner = "mean"
    min_count: Annotated[int, at_least(1)] = 1
    separator: str = "|"
    column: str = dataclasses.field(default="", repr=False)  # see `data.file_sources.read_as`

    @property
    def source_column(self) -> str:
        """The column that the feature is read from."""
        return self.column or self.name

    @property
    def multi_valued(self) -> bool:
        return self.max_values > 1


@dataclasses.dataclass(frozen=True)
class Schema:
    """The columns of a log that a model uses.

    A feature is an input of the model, of its exports and of every request, and its name is one that these can have:
    letters, digits and underscores; no two differ in upper and lower case alone. Its column may have any name.

    Attributes:
      features: in the order in which they reach the network.
      label: the label's column; several make a model of several tasks, the first of which is the main one: what is
        called the label, the prediction or the PD of a run without a name is its.
      label_threshold: None: the column holds 0 or 1; a number: the label is 1 where the column is at or above it. Of
        several labels, None or a tuple with one of these for each.
      weight: column of example weights, or None for 1.
      query_id: column that tells which rows belong to one request, or None.
      timestamp: column in time units of the log's own (a number, or an ISO 8601 text), or None.
    """

    features: tuple[Numeric | Categorical, ...]
    label: str | tuple[str, ...] = "label"
    label_threshold: float | tuple[float | None, ...] | None = None
    weight: str | None = None
    query_id: str | None = None
    timestamp: str | None = None

    @property
    def numeric(self) -> tuple[Numeric, ...]:
        return tuple(feature for feature in self.features if isinstance(feature, Numeric))

    @property
    def categorical(self) -> tuple[Categorical, ...]:
        return tuple(feature for feature in self.features if isinstance(feature, Categorical))

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels' columns, the main one first; none in a `PredictionSchema` of rows without."""
        return self.label if isinstance(self.label, tuple) else (self.label,) if self.label else ()

    @property
    def label_thresholds(self) -> tuple[float | None, ...]:
        """The threshold of each of `labels`."""
        several = self.label_threshold
        return several if isinstance(several, tuple) else (several,) * len(self.labels)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column to read, each once, features first."""
        others = (*self.labels, self.weight, self.query_id, self.timestamp)
        return tuple(dict.fromkeys([f.source_column for f in self.features] + [name for name in others if name]))

    @property
    def copied(self) -> tuple[str, ...]:
        """Columns whose values are kept as texts as well; see `PredictionSchema`."""
        return ()

    @property
    def needs_label(self) -> bool:
        """Whether a row without a right label, weight or query_id is malformed; see `PredictionSchema`."""
        return True

    def select(self, names: Sequence[str], labels: Sequence[str] = ()) -> Schema:
        """The schema with only the named features, in its own order, and those labels; for no names its own.

        A label that the schema has keeps its threshold.
        """
        known = [feature.name for feature in self.features]
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=5, cutoff=0.4) or known
                raise InputError(f"data.features must name features of the source, got {name!r}; try {', '.join(near)}")
        chosen = tuple(feature for feature in self.features if not names or feature.name in names)
        found = dataclasses.replace(self, features=chosen)
        return found.with_labels(labels) if labels else found

    def with_labels(self, labels: Sequence[str]) -> Schema:
        """The schema with those labels, of which its own keep their thresholds; none of them for no names."""
        known = dict(zip(self.labels, self.label_thresholds, strict=True))
        thresholds = tuple(known.get(name) for name in labels)
        if len(labels) < 2:
            found = dataclasses.replace(self, label="".join(labels), label_threshold=next(iter(thresholds), None))
        else:
            several = thresholds if any(each is not None for each in thresholds) else None
            found = dataclasses.replace(self, label=tuple(labels), label_threshold=several)
        found._validate_labels()
        return found

    def validate(self) -> None:
        """Raises InputError, naming the feature, the rule and the value, where a feature breaks a rule."""
        if not self.features:
            raise InputError("schema: features must name at least one feature, got none")
        names = [feature.name for feature in self.features]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"schema: feature names must differ, got {name!r} twice")
            if same := [other for other in names if other != name and other.lower() == name.lower()]:
                raise InputError(
                    f"schema: feature names must differ by more than upper and lower case, got {name!r} and "
                    f"{same[0]!r}; rename one: name='...', column={name!r}"
                )
            # The inputs of an export are named after the features, and TensorFlow (2.21) refuses other names, or alters
            # them, once the run has trained.
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or keyword.iskeyword(name) or name == "self":
                raise InputError(
                    f"schema: a feature name must be letters, digits and underscores, begin with a letter and be no "
                    f"word of Python, got {name!r}; name it otherwise: name='...', column={name!r}"
                )
        self._validate_labels()
        self._validate_columns()
        for feature in self.features:
            for name, kind in fields.annotations_of(type(feature)).items():
                fields.check_rules(f"schema: {name} of {feature.name!r}", getattr(feature, name), kind)
        for category in self.categorical:
            least = 0 if category.encoding == "vocabulary" else 1
            if category.size < least:
                raise InputError(f"schema: size of {category.name!r} must be at least {least}, got {category.size}")
            if category.encoding == "identity" and category.dtype != "int64":
                raise InputError(
                    f"schema: dtype of {category.name!r} must be int64 for encoding identity, got {category.dtype!r}"
                )
            if category.multi_valued and not category.separator:
                raise InputError(f"schema: separator of {category.name!r} must not be empty for a multi-valued feature")

    def _validate_labels(self) -> None:
        """Raises InputError where a label is a feature too, or one of several breaks a rule."""
        for feature in self.features:
            if feature.name in self.labels:
                raise InputError(f"schema: the label column {feature.name!r} must not be a feature")
            if (column := feature.source_column) in self.labels:
                raise InputError(
                    f"schema: the label column {column!r} must not be a feature, got that of {feature.name!r}"
                )
        if isinstance(self.label, str):
            if isinstance(self.label_threshold, tuple):
                raise InputError(f"schema: label_threshold must be one for one label, got {self.label_threshold}")
            return
        for name in self.labels:
            if self.labels.count(name) > 1:
                raise InputError(f"schema: labels must differ, got {name!r} twice")
            # Exports, metrics.json and files of predictions have outputs, keys and columns of these names.
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or name in OUTPUTS:
                raise InputError(
                    f"schema: one of several labels must be letters, digits and underscores, begin with a letter and "
                    f"be none of {', '.join(OUTPUTS)}, got {name!r}"
                )
        if len(self.labels) < 2:
            raise InputError(f"schema: label must be a name, or two or more, got {self.label!r}")
        threshold = self.label_threshold
        if threshold is not None and (not isinstance(threshold, tuple) or len(threshold) != len(self.labels)):
            raise InputError(
                f"schema: label_threshold must be None or one for each of {', '.join(self.labels)}, got {threshold!r}"
            )

    def _validate_columns(self) -> None:
        """Raises InputError where a column has two roles that do not go together."""
        for feature in self.features:
            column, name = feature.source_column, feature.name
            others = [other for other in self.features if other is not feature and other.source_column == column]
            if not isinstance(feature, Categorical) or not feature.multi_valued:
                continue
            apart = [o.name for o in others if _split(o) != _split(feature)]
            apart += [role for role in ("weight", "query_id", "timestamp") if getattr(self, role) == column]
            if apart:
                raise InputError(
                    f"schema: the column {column!r} of {name!r}, which holds several values, must be read alike "
                    f"everywhere, got {apart[0]!r} too"
                )


def _split(feature: Numeric | Categorical) -> tuple[int, str]:
    """The settings that say how a field becomes several values."""
    return (feature.max_values, feature.separator) if isinstance(feature, Categorical) else (1, "")


@dataclasses.dataclass(frozen=True)
class PredictionSchema(Schema):
    """The schema of rows that are predicted: an empty `label` names none, and columns are kept as the files have them.

    Attributes:
      copied: columns whose values are kept as texts, exactly as they stand in the files.
      needs_label: whether a row without a right label, weight or query_id is malformed, as in training; else a wrong
        label or weight is NaN, and the row is predicted.
    """

    copied: tuple[str, ...] = ()
    needs_label: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*super().columns, *self.copied]))
