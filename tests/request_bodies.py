"""REST bodies as TensorFlow Serving reads them."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np

DTYPES = {"int64": np.int64, "float32": np.float32, "string": object}


def from_json(body: str, signature: dict[str, Any]) -> dict[str, Any]:
    """The inputs that TensorFlow Serving makes of a REST body: types by the signature, strict about JSON."""

    def value(given: Any, dtype: str) -> Any:
        if isinstance(given, list):
            return [value(each, dtype) for each in given]
        if dtype == "string":
            return base64.b64decode(given["b64"], validate=True) if isinstance(given, dict) else given.encode()
        assert isinstance(given, int if dtype == "int64" else float)
        if dtype == "float32" and np.isfinite(given):
            assert abs(given) <= np.finfo(np.float32).max
        return given

    rows = json.loads(body)["instances"]
    assert all(row.keys() == signature.keys() for row in rows)
    return {
        name: np.array([value(row[name], dtype) for row in rows], DTYPES[dtype])
        for name, (dtype, _) in signature.items()
    }
