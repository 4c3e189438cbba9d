"""What a comparison is asked to do, and its two sides: rows with predictions, and what is known of each row."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from smooth_recs.artifacts.exports import Artifact, Columns
from smooth_recs.artifacts.prediction_files import KEY, Wanted
from smooth_recs.config import Config, Evaluation
from smooth_recs.errors import InputError
from smooth_recs.measures.gates import Limits

BATCH_SIZE = 4096
FREQUENCY = "frequency/"
IN_CONFIG = {field.name: f"evaluation.{field.name}" for field in dataclasses.fields(Evaluation)}


@dataclasses.dataclass(frozen=True)
class Shard:
    """Every `count`-th batch of rows, beginning with batch `number` - 1 (counted from 0)."""

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard that `2/3` names; raises InputError for any other text."""
        number, slash, count = text.partition("/")
        if slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count):
            return cls(int(number), int(count))
        raise InputError(f"--shard must be i/n with i from 1 to n, such as 1/3, got {text!r}")

    def rows(self, total: int) -> npt.NDArray[np.int64]:
        """The numbers of the shard's rows, ascending, where there are `total` rows in all."""
        rows = np.arange(total)
        return rows[rows // BATCH_SIZE % self.count == self.number - 1]


@dataclasses.dataclass(frozen=True)
class Settings:
    """The flags of `smooth_recs.bin.compare`.

    Attributes:
      a, b: paths of the baseline and the new model: an export, a Keras model or a file of predictions.
      output: path of the JSON file; the HTML file and the shards lie beside it.
      config: whose held-out rows models predict; None: both are files.
      key: columns of files, or features, whose values together tell rows apart; none: rows stand in the same order.
      columns: names that were chosen for the columns `prediction`, `label`, `weight`, `query_id` and `multiplier` of
        files; a chosen one must be there.
      evaluation: slices, k and threshold; `order_by` where `columns` has no `multiplier`.
      limits: the gates.
      allow_collapsed: whether a new model that has learned nothing may meet them.
      shard: the part to predict; None: all rows, which are then measured.
      merge: measures the shards that other processes left.
      named: what error messages call a field of `evaluation` that was not set by a flag of its name, see `IN_CONFIG`.

    Raises:
      InputError: an output that is no .json file, a shard to merge, k below 1, a threshold outside [0, 1], or an empty
        name.
    """

    a: str
    b: str
    output: str
    config: Config | None = None
    key: tuple[str, ...] = ()
    columns: dict[str, str] = dataclasses.field(default_factory=dict)
    evaluation: Evaluation = dataclasses.field(default_factory=Evaluation)
    limits: Limits = dataclasses.field(default_factory=Limits)
    allow_collapsed: bool = False
    shard: Shard | None = None
    merge: bool = False
    named: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.output.endswith(".json"):
            raise InputError(f"--output must be a .json file, got {self.output!r}")
        if self.merge and self.shard:
            raise InputError("--merge joins shards that are there, so it must not come with --shard")
        if self.evaluation.k < 1:
            raise InputError(f"{self.name_of('k')} must be at least 1, got {self.evaluation.k}")
        if not 0 <= self.evaluation.threshold <= 1:
            raise InputError(f"{self.name_of('threshold')} must be from 0 to 1, got {self.evaluation.threshold:g}")
        for name in (*self.key, *self.evaluation.slices):
            if not name:
                raise InputError(f"--key and {self.name_of('slices')} must be names with commas, got an empty one")

    def name_of(self, field: str) -> str:
        """The name by which the user gave a limit or a field of `evaluation`: a flag's, or the field's."""
        return self.named.get(field, f"--{field}")

    @property
    def stem(self) -> str:
        """`output` without its suffix."""
        return self.output.removesuffix(".json")

    @property
    def html(self) -> str:
        """Path of the report."""
        return f"{self.stem}.html"

    @property
    def multiplier(self) -> str:
        """Column or feature that predictions are multiplied by before a request's rows are ordered; "" is none."""
        return self.columns.get("multiplier") or self.evaluation.order_by

    @property
    def wanted(self) -> Wanted:
        """What is asked of a file of predictions."""
        return Wanted(self.columns, self.key, self.multiplier, self.evaluation.slices, self.multiplier_flag)

    @property
    def multiplier_flag(self) -> str:
        """The name by which the user gave `multiplier`."""
        return "--multiplier" if self.columns.get("multiplier") else self.named.get("order_by", "--multiplier")

    @contextlib.contextmanager
    def named_as_given(self) -> Iterator[None]:
        """Makes an InputError about a limit, or about a field of `evaluation`, call it as the user did."""
        try:
            yield
        except InputError as error:
            text = str(error).removeprefix("evaluation.")
            field, *_ = re.split(r"\W", text, maxsplit=1)
            raise InputError(self.name_of(field) + text.removeprefix(field)) from error

    def identity(self) -> dict[str, Any]:
        """What the columns of a shard depend on, except for models and data themselves; paths do not count."""
        data = dataclasses.asdict(self.config.data) if self.config else {}
        return {
            "data": {name: value for name, value in data.items() if not name.endswith("path")},
            "key": self.key,
            "columns": self.columns,
            "slices": self.evaluation.slices,
            "order_by": self.evaluation.order_by,
        }


@dataclasses.dataclass(frozen=True)
class Side:
    """Rows of one artifact.

    Attributes:
      artifact: where they come from.
      total: how many rows there are, those of other shards included.
      row: [m] the number of each row, ascending.
      columns: [m] each, by role: `prediction`; as far as they are known `label`, `weight`, `query_id`, `multiplier`,
        `true_probability`; `key/0` ...; `slice/NAME`, also [m, values]; `frequency/NAME`.
    """

    artifact: Artifact
    total: int
    row: npt.NDArray[np.int64]
    columns: Columns

    @property
    def keys(self) -> list[npt.NDArray[Any]]:
        """The columns that together tell rows apart; none: rows stand in the same order on both sides."""
        return [column for role, column in self.columns.items() if role.startswith(KEY)]
