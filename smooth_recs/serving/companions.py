"""What lies beside the graph of an export: warm-up requests, sample requests, the model card."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from smooth_recs.data.source import Source
from smooth_recs.serving import model_card, raw_batches, sample_requests, warm_up
from smooth_recs.serving.raw_batches import Batch
from smooth_recs.workdir.manifest import Finished


def requests(source: Source) -> Callable[[str], None]:
    """A function that writes warm-up and sample requests into an export; it reads the held-out rows only once."""

    @functools.cache
    def rows() -> Batch:
        return raw_batches.held_out(source, max(warm_up.BATCH_SIZES))

    def write(export: str) -> None:
        warm_up.write(export, source.encoder.schema, rows())
        sample_requests.write(export, rows())

    return write


def all_of_run(source: Source, run: Finished) -> Callable[[Any, int], Callable[[str], None]]:
    """The same for the models of a run, with their cards: a function of the model and the number of the replica."""
    write_requests = requests(source)

    def of_replica(model: Any, replica: int) -> Callable[[str], None]:
        def write(export: str) -> None:
            write_requests(export)
            model_card.write(export, model_card.build(run, model, replica))

        return write

    return of_replica
