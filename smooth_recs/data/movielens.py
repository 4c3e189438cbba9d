"""MovieLens 100K: the tab separated files with `name:type` headers, and GroupLens' original `u.data`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence

import tensorflow as tf

from smooth_recs.data import files
from smooth_recs.data.csv import CsvReader
from smooth_recs.data.opening import Origin
from smooth_recs.data.schema import Categorical, Numeric, Schema
from smooth_recs.data.side_table import SideTable
from smooth_recs.errors import InputError

LABEL_THRESHOLD = 4.0
SPLIT = "time"
_RATING_COLUMNS = ("user_id", "item_id", "rating", "timestamp")
_GENRES = (
    "unknown Action Adventure Animation Children's Comedy Crime Documentary Drama Fantasy Film-Noir Horror Musical "
    "Mystery Romance Sci-Fi Thriller War Western"
).split()
_USER_FEATURES = (
    Numeric("age"),
    Categorical("gender", "vocabulary"),
    Categorical("occupation", "vocabulary"),
    Categorical("zip_region", "vocabulary"),
)
_ITEM_FEATURES = (
    Numeric("release_year"),
    Categorical("genres", "vocabulary", max_values=6, separator=" "),
)
