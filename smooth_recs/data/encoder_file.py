"""What the rows of a run's embedding tables stand for, in a file beside its checkpoints, so that its data may go."""

from __future__ import annotations

import dataclasses
import json
from typing import NamedTuple

from smooth_recs._files import whole_file
from smooth_recs.data.encoding import Encoder
from smooth_recs.data.schema import Categorical, Schema
from smooth_recs.data.statistics import Statistics
from smooth_recs.errors import InputError
from smooth_recs.fields import from_dict

NAME = "encoder.json"


class Encoding(NamedTuple):
    """What an encoder knows, without the lookup tables, which would be placed in a cluster."""

    schema: Schema
    statistics: Statistics

    @classmethod
    def of(cls, encoder: Encoder) -> Encoding:
        return cls(encoder.schema, encoder.statistics)

    def known_values(self, feature: Categorical) -> int:
        """As `Encoder.known_values`."""
        return len(self.statistics.vocabularies[feature.name]) if feature.encoding == "vocabulary" else feature.size

    def table_rows(self, feature: Categorical) -> int:
        """As `Encoder.table_rows`."""
        return self.known_values(feature) + 2


def save(encoder: Encoder, path: str) -> None:
    """Writes schema and statistics, whole or not at all."""
    content = {"schema": dataclasses.asdict(encoder.schema), "statistics": json.loads(encoder.statistics.to_json())}
    with whole_file(path) as beside, open(beside, "w", encoding="utf-8") as stream:
        json.dump(content, stream)


def load(path: str) -> Encoding:
    """What `save` wrote; raises InputError where the file does not hold it."""
    try:
        with open(path, encoding="utf-8") as stream:
            content = json.load(stream)
        schema: Schema = from_dict(Schema, content["schema"], "schema")
        schema.validate()
        statistics = Statistics.from_json(json.dumps(content["statistics"]))
        lacking = [f.name for f in schema.categorical if f.encoding == "vocabulary"]
        if not set(lacking) <= set(statistics.vocabularies):
            raise InputError(f"no vocabulary for {', '.join(lacking)}")
        return Encoding(schema, statistics)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, InputError) as error:
        raise InputError(f"{path} must hold the encoder of a run: {error}") from error
