"""The schema under the import path of earlier versions; `smooth_recs.schema` is where it lives."""

from smooth_recs.schema import Categorical, Numeric, Schema

__all__ = ["Categorical", "Numeric", "Schema"]
