"""Requests beside an export, for whoever wants to ask a server for the first time."""

from __future__ import annotations

import os

import numpy as np

from smooth_recs.serving import client_requests, raw_batches
from smooth_recs.serving.asking import Request
from smooth_recs.serving.declared import RAW
from smooth_recs.serving.raw_batches import Batch
from smooth_recs.serving.warm_up import FOLDER

REST, GRPC = f"{FOLDER}/request.json", f"{FOLDER}/request.pb"
ROWS = 3


def write(export: str, rows: Batch) -> None:
    """Writes `assets.extra/request.json`, a REST body, and `request.pb`, a `PredictRequest`: three raw rows each."""
    request = Request(RAW, raw_batches.take(rows, np.arange(ROWS) % raw_batches.size(rows)))
    os.makedirs(os.path.join(export, FOLDER), exist_ok=True)
    with open(os.path.join(export, REST), "w", encoding="utf-8") as text:
        text.write(client_requests.rest_body(request))
    with open(os.path.join(export, GRPC), "wb") as message:
        message.write(client_requests.predict(request).SerializeToString(deterministic=True))
