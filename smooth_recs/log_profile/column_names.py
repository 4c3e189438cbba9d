"""What the name of a column says of it: words that people use for labels, outcomes, requests, counts and categories."""

from __future__ import annotations

import re

LABELS = ("label", "target", "y", "clicked", "click", "is_click", "is_clicked", "clk")
WEIGHTS = ("weight", "sample_weight", "example_weight", "importance_weight", "importance", "wt")
TIMES = ("timestamp", "time", "ts", "datetime", "event_time", "date_time", "time_ms", "unix_time", "time_stamp")
# From the narrowest group of rows that a list can be to the widest.
REQUESTS = (
    ("request", "req"),
    ("query", "qid", "search", "impression", "impressions", "slate", "serp"),
    ("session", "visit"),
)
USERS = ("user", "uid", "member", "customer", "visitor", "userid")
RATINGS = ("rating", "ratings", "stars", "score", "grade")

# What happens after an impression.
OUTCOMES = frozenset((
    "click", "clicks", "clicked", "clk", "like", "likes", "liked", "dislike", "follow", "followed", "comment",
    "comments", "commented", "forward", "forwarded", "share", "shared", "hate", "hated", "view", "viewed", "play",
    "played", "watch", "watched", "dwell", "purchase", "purchased", "buy", "bought", "order", "ordered", "cart",
    "conversion", "converted", "convert", "revenue", "install", "installed", "subscribe", "subscribed", "read",
    "finish", "finished", "complete", "completed", "completion", "skip", "skipped", "rating", "reward", "payout",
    "booking", "booked", "favorite",
))  # fmt: skip
# What tells of the time before an impression, although an outcome is named.
HISTORY = frozenset((
    "far", "prev", "previous", "last", "past", "hist", "history", "before", "cum", "cumulative", "avg", "mean",
    "rate", "ctr", "count", "num", "n", "total",
))  # fmt: skip
AMOUNTS = frozenset((
    "n", "num", "number", "count", "counts", "cnt", "price", "amount", "cost", "bid", "age", "duration", "length",
    "len", "size", "width", "height", "ms", "sec", "secs", "seconds", "minutes", "days", "step", "total", "far",
    "seen", "clicks", "weight", "distance", "discount", "year", "value", "avg", "mean", "ratio", "rate", "ctr",
    "score",
))  # fmt: skip
CATEGORIES = frozenset((
    "id", "ids", "code", "type", "cat", "category", "class", "kind", "group", "segment", "region", "zip", "postal",
    "brand", "city", "country", "state", "lang", "language", "device", "os", "browser", "tab", "page", "position",
    "pos", "rank", "slot", "hour", "hourmin", "weekday", "dow", "dayofweek", "month", "feat", "onehot", "hash",
    "bucket", "gender", "platform", "channel", "campaign", "publisher", "domain", "site", "app", "model", "tag",
    "genre", "c",
))  # fmt: skip

# What has an id; a number in a column of that name is one.
ENTITIES = frozenset((
    *USERS, "item", "video", "movie", "film", "song", "track", "artist", "album", "book", "article", "news", "story",
    "post", "document", "doc", "ad", "advert", "creative", "advertiser", "banner", "product", "sku", "shop", "store",
    "seller", "merchant", "vendor", "hotel", "author", "playlist", "query", "request", "session",
))  # fmt: skip


def words(name: str) -> list[str]:
    """The words in a name, in lower case, without digits.

    >>> words("itemSeen_in2Sessions"), words("C14")
    (['item', 'seen', 'in', 'sessions'], ['c'])
    """
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+", name)]


def is_id(name: str) -> bool:
    """Whether the name is that of an identifier.

    >>> is_id("user_id"), is_id("itemId"), is_id("adid"), is_id("paid")
    (True, True, True, False)
    """
    last = (words(name) or [""])[-1]
    return last in ("id", "ids", "uid", "uuid", "guid", "gid", "qid") or last in ("userid", "itemid", "adid", "videoid")


def is_entity(name: str) -> bool:
    """Whether the name, or its last word behind a first one that counts nothing, is that of what has an id.

    >>> is_entity("user"), is_entity("movie"), is_entity("clicked_item"), is_entity("n_user"), is_entity("item_price")
    (True, True, True, False, False)
    """
    found = words(name)
    return found[-1:] != [] and found[-1] in ENTITIES and not {*AMOUNTS, *HISTORY} & set(found)


def is_amount(name: str) -> bool | None:
    """Whether the name is that of an amount (true) or of a category (false); None where it does not tell.

    The last word says most: a `price_rank` is a rank.
    """
    found = words(name)
    if is_id(name):
        return False
    for some in (found[-1:], found):
        if AMOUNTS & set(some):
            return True
        if CATEGORIES & set(some):
            return False
    return None


def is_outcome(name: str) -> bool:
    """Whether the name tells of what comes after an impression, and not of what came before."""
    return bool(OUTCOMES & set(words(name))) and not HISTORY & set(words(name))
