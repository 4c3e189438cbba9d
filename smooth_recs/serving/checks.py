"""What every export must show before it ships, in a process with nothing but the loader of TensorFlow Serving.

Loaded there, it predicts what the trained model does: in batches of 1, 2 and 1,000 rows, in another order of rows, for
ids beyond 2^31, for unseen, empty, missing and non-UTF-8 values, for NaN and infinite numbers, and through each of its
signatures. Inputs of a wrong type or shape are refused, and nothing has to be compiled by XLA.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from smooth_recs.schema import Schema
from smooth_recs.serving import loader_process, requests, saved_signatures
from smooth_recs.serving.loader import LoaderError
from smooth_recs.serving.loader_process import Answer, Request
from smooth_recs.serving.requests import Batch
from smooth_recs.serving.saved_signatures import CLASSIFY, LOGITS, OF_EXAMPLES, RAW, REGRESS, CheckFailed

ROWS = 1_000
TOLERANCE = 1e-6
# By the precision of the stacks: a kernel for another batch size adds in another order, and so rounds in another way.
TOLERANCES = {"float32": TOLERANCE, "bfloat16": 0.02}

_OTHER_TYPES = {"int64": np.int32, "float32": np.float64, "string": np.int64}

Numbers = npt.NDArray[np.float64]
Predict = Callable[[Batch], Any]


@dataclasses.dataclass(frozen=True)
class Passed:
    """What an export has shown.

    Attributes:
      checks: how many it passed.
      largest_difference: the largest of a probability from the trained model's.
      load_seconds: how long it took to load.
    """

    checks: int
    largest_difference: float
    load_seconds: float


class _Check(NamedTuple):
    """A request, and what must come back.

    Attributes:
      name: of the batch, in messages.
      request: what the export is asked.
      expected: the probabilities [n, 1 + tasks]; None: the request must be refused.
      words: for each row what is special about it, where there is something.
    """

    name: str
    request: Request
    expected: Numbers | None
    words: list[str] | None = None


def check(export: str, schema: Schema, rows: Batch, predict: Predict, tolerance: float = TOLERANCE) -> Passed:
    """Puts an export through all checks.

    Args:
      export: the folder with `saved_model.pb`.
      schema: that of its features.
      rows: raw rows of the log, by feature, 1,000 of them where batches are to be that large.
      predict: the trained model, from raw rows to probabilities [n], or [n, T] where the schema has T labels.
      tolerance: how far a probability may lie from the trained model's.

    Raises:
      CheckFailed: a check failed.
    """
    planned = list(_planned(schema, rows, predict))
    try:
        answers = loader_process.ask(export, [each.request for each in planned])
    except LoaderError as error:
        raise CheckFailed(f"check failed: loading the export: {_line(str(error))}") from error
    saved_signatures.check_compilation(export)
    saved_signatures.check_signatures(schema, answers.signatures)
    # A model without logits has no such signature: what was asked of it counts for nothing.
    known = [
        (each, answer)
        for each, answer in zip(planned, answers.answers, strict=True)
        if each.request.signature in answers.signatures
    ]
    differences = [_judged(each, answer, tolerance, schema.labels[1:]) for each, answer in known]
    return Passed(len(known) + len(answers.signatures) + 1, max(differences), answers.seconds)


def _planned(schema: Schema, rows: Batch, predict: Predict) -> Iterator[_Check]:
    """All checks that ask the export something: first what it must predict, then what it must refuse."""
    count = requests.row_count(rows)
    batches: list[tuple[str, Batch, list[str] | None]] = [
        (f"a batch of {number:,}", requests.take(rows, np.arange(number) % count), None) for number in (1, 2, count)
    ]
    batches.append(("permuted rows", requests.take(rows, np.random.default_rng(1).permutation(count)), None))
    batches.append(("hard values", *requests.hard_rows(schema, requests.take(rows, np.zeros(1, int)))))
    two = requests.take(rows, np.arange(2) % count)
    batches += [(words, batch, None) for words, batch in requests.other_widths(schema, two)]
    for name, batch, words in batches:
        expected = np.asarray(predict(batch), np.float64).reshape(requests.row_count(batch), -1)
        yield _Check(name, Request(RAW, batch), expected, words)
        yield _Check(name, Request(LOGITS, batch), expected, words)
        serialized = requests.serialized_examples(schema, batch)
        for signature, taken in OF_EXAMPLES.items():
            yield _Check(name, Request(signature, {taken: serialized}), expected, words)

    three = requests.take(rows, np.arange(3) % count)
    wrong = []
    for feature, values in three.items():
        dtype = "string" if values.dtype == object else values.dtype.name
        other = np.zeros(values.shape, _OTHER_TYPES[dtype])
        wrong.append((f"{feature} of type {other.dtype} in place of {dtype}", {feature: other}))
        shaped = np.stack([values, values], axis=1) if values.ndim == 1 else np.concatenate(list(values))
        wrong.append((f"{feature} of shape {list(shaped.shape)}", {feature: shaped}))
        if len(three) > 1:
            # TensorFlow broadcasts one row (2.21), and would answer with what no client meant.
            wrong.append((f"{feature} of 1 row beside others of {len(values)}", {feature: values[:1]}))
    for name, changed in wrong:
        for signature in (RAW, LOGITS):
            yield _Check(name, Request(signature, three | changed), None)
    for signature, taken in OF_EXAMPLES.items():
        for name, texts in (("what is no tf.Example", [b"\xff\xff"]), ("tf.Examples of shape [1, 1]", [[b""]])):
            yield _Check(name, Request(signature, {taken: np.array(texts, object)}), None)


def _judged(check: _Check, answer: Answer, tolerance: float, tasks: Sequence[str]) -> float:
    """How far the probabilities of an answer are from the expected ones, those of the other tasks included."""
    what = f"check failed: {check.request.signature}, {check.name}:"
    if check.expected is None:
        if answer.error is None:
            raise CheckFailed(f"{what} must be refused, and was not")
        return 0.0
    if answer.error is not None:
        raise CheckFailed(f"{what} refused: {_line(answer.error)}")
    # TensorFlow Serving's Classify and Regress have one answer a row, that for the first label.
    known = () if check.request.signature in (CLASSIFY, REGRESS) else tasks
    largest = 0.0
    for task, expected in zip(("", *known), check.expected.T, strict=not tasks):
        where = f"{what} {task}" if task else what
        found = _probabilities(check.request.signature, answer, task)
        if found.shape != expected.shape:
            raise CheckFailed(f"{where} predictions must be of shape {list(expected.shape)}, got {list(found.shape)}")
        difference = np.abs(found - expected)
        wrong = ~((difference <= tolerance) & (found >= 0) & (found <= 1))  # NaN too
        if wrong.any():
            row = int(np.argmax(wrong))
            place = check.words[row] if check.words else f"row {row}"
            if np.isnan(expected[row]):
                raise CheckFailed(f"{where} for {place} the trained model itself predicts nan")
            values = f"{found[row]:.9g}, the trained model {expected[row]:.9g}"
            off = f"{difference[row]:.3g} apart, more than {tolerance:g}, as are {wrong.sum():,} of {wrong.size:,} rows"
            raise CheckFailed(f"{where} for {place} the export predicts {values}: {off}")
        largest = max(largest, float(difference.max(initial=0.0)))
    return largest


def _probabilities(signature: str, answer: Answer, task: str) -> Numbers:
    """The probabilities of a task ("": the main one) in an answer, which each signature gives in its own way."""
    outputs = {name: np.asarray(values, np.float64) for name, values in answer.outputs.items() if name != "classes"}
    if signature == LOGITS:
        with np.errstate(over="ignore"):  # exp of a very negative logit's opposite: the probability is 0
            return 1 / (1 + np.exp(-outputs[task or "logit"]))
    if signature == CLASSIFY:
        scores = outputs["scores"]
        return np.where(np.abs(scores.sum(axis=1) - 1) <= TOLERANCE, scores[:, 1], np.nan)
    return outputs["outputs"].reshape(-1) if signature == REGRESS else outputs[task or "probability"]


def _line(text: str) -> str:
    return " ".join(text.split())[:300]
