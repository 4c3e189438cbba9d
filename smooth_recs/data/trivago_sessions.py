"""trivago's own action log (RecSys Challenge 2019) as impressions: the hotels shown at each click, one a row.

The challenge's `train.csv` has a row for each action of a session. An action `clickout item` names the hotel that was
clicked (`reference`) and the list that it was clicked in (`impressions` and `prices`, separated by `|`). What the
session did before is all that the log says about its user, so it becomes columns of the impressions.
"""

from __future__ import annotations

import collections
import contextlib
import csv
import gzip
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tqdm

from smooth_recs import _files
from smooth_recs.errors import InputError

CLICKOUT = "clickout item"
COLUMNS = (
    "request_id", "user_id", "session_id", "timestamp", "step", "position", "n_shown", "item_id", "price",
    "price_rank", "platform", "city", "device", "first_filter", "n_filters", "prev_action", "item_seen_in_session",
    "item_is_last_seen", "clicks_so_far", "label",
)  # fmt: skip
NEEDED = (
    "user_id", "session_id", "timestamp", "step", "action_type", "reference", "platform", "city", "device",
    "current_filters", "impressions", "prices",
)  # fmt: skip
LARGEST_COUNT = 9  # of an item's appearances and of clicks: a session that goes on for hours is no other kind of user
_GZIP = b"\x1f\x8b"


def write_impressions(source: str, output: str) -> dict[str, int]:
    """Writes the impressions of an action log, as `data.source = "trivago"` reads them.

    Args:
      source: `train.csv` of the challenge, plain or gzip. The rows of a session follow each other, in the order of
        their steps, as they do there.
      output: the file to be written, gzip where its name ends with `.gz`; it appears when it is whole.

    Returns:
      How many `requests` and `impressions` were written, and how many clicks were left out because their list does not
      hold the hotel that was clicked (`elsewhere`), is broken (`malformed`: as many prices as hotels are needed), or
      because no hotel is named (`unlabelled`, as in the challenge's `test.csv`).

    Raises:
      InputError: a file cannot be read or written, a column is missing, or a session's rows do not follow each other.

    ```python
    write_impressions("recsys2019/train.csv", "trivago/impressions.csv.gz")
    ```
    """
    counts = collections.Counter(requests=0, impressions=0, elsewhere=0, malformed=0, unlabelled=0)
    try:
        with _files.whole_file(output) as beside, _files.appending(beside) as raw:
            # Without the time in its header, so that equal logs give equal files.
            data: Any = gzip.GzipFile("", "wb", 6, raw, mtime=0) if output.endswith(".gz") else raw
            with data, io.TextIOWrapper(data, "utf-8", newline="") as text:
                rows = csv.writer(text, lineterminator="\n")
                rows.writerow(COLUMNS)
                for session in _sessions(source):
                    for request in _requests(session, counts):
                        rows.writerows(request)
    except OSError as error:
        raise InputError(f"{source} cannot be written as {output}: {error}") from error
    return dict(counts)


def _sessions(source: str) -> Iterator[list[Mapping[str, str]]]:
    """The rows of each session; a bar shows how much of the file is read."""
    seen: set[str] = set()
    rows: list[Mapping[str, str]] = []
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(_files.reading(source))
        zipped = raw.read(len(_GZIP)) == _GZIP
        raw.seek(0)
        data: Any = gzip.GzipFile(fileobj=raw) if zipped else raw
        lines = csv.DictReader(stack.enter_context(io.TextIOWrapper(data, "utf-8", newline="")))
        if missing := [name for name in NEEDED if name not in (lines.fieldnames or ())]:
            raise InputError(f"{source} must have the columns of the challenge's train.csv, got no {missing[0]!r}")
        size, _ = _files.stamp(source)
        with tqdm.tqdm(total=size, unit="B", unit_scale=True, desc="sessions", disable=None, leave=False) as bar:
            for row in lines:
                session = row["session_id"]
                if rows and session != rows[0]["session_id"]:
                    yield rows
                    seen.add(rows[0]["session_id"])
                    rows = []
                    bar.update(raw.tell() - bar.n)
                    if session in seen:
                        place = f"{source}, line {lines.line_num}"
                        raise InputError(
                            f"{place}: the rows of a session must follow each other, got more of {session}"
                        )
                rows.append(row)
    if rows:
        yield rows


def _requests(session: Sequence[Mapping[str, str]], counts: collections.Counter[str]) -> Iterator[list[list[Any]]]:
    """The impressions of each click of a session."""
    seen: collections.Counter[str] = collections.Counter()
    last, clicks, before = "", 0, "start"
    for action in session:
        reference = action["reference"]
        if action["action_type"] == CLICKOUT:
            items, prices = (action[name].split("|") for name in ("impressions", "prices"))
            fault = _fault(items, prices, reference)
            if fault:
                counts[fault] += 1
            else:
                counts["requests"] += 1
                counts["impressions"] += len(items)
                filters = [each for each in action["current_filters"].split("|") if each]
                # The cheapest first; of equal prices the upper one.
                cheapest = sorted(range(len(items)), key=lambda place: (float(prices[place]), place))
                ranks = {place: rank for rank, place in enumerate(cheapest, start=1)}
                request = f"{action['session_id']}_{action['step']}"
                of_request = [action[name] for name in ("user_id", "session_id", "timestamp", "step")]
                of_user = [action["platform"], action["city"], action["device"], filters[0] if filters else ""]
                yield [
                    [
                        request,
                        *of_request,
                        place + 1,
                        len(items),
                        item,
                        prices[place],
                        ranks[place],
                        *of_user,
                        len(filters),
                        before,
                        min(seen[item], LARGEST_COUNT),
                        int(item == last),
                        min(clicks, LARGEST_COUNT),
                        int(item == reference),
                    ]
                    for place, item in enumerate(items)
                ]
            clicks += 1
        if reference.isdigit():  # a hotel; others are cities, filters, orders
            seen[reference] += 1
            last = reference
        before = action["action_type"]


def _fault(items: Sequence[str], prices: Sequence[str], reference: str) -> str | None:
    """Why a click has no impressions, as a key of `write_impressions`' counts."""
    try:
        broken = len(items) != len(prices) or not all(items) or not all(float(price) >= 0 for price in prices)
    except ValueError:
        broken = True
    if broken:
        return "malformed"
    if not reference.isdigit():
        return "unlabelled"
    return None if reference in items else "elsewhere"
