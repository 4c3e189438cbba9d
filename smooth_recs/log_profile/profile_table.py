"""The profile of a log as a table for the terminal: a line for each column, with what becomes of it."""

from __future__ import annotations

from collections.abc import Iterator

from smooth_recs.log_profile.column_roles import Roles, shown, time_range, time_unit
from smooth_recs.log_profile.profile import Column, Profile
from smooth_recs.schema import Categorical

_NAME, _VALUES, _WIDTH = 21, 22, 100
_ROLES = ("label", "query", "time", "weight")


def lines(profile: Profile, roles: Roles | None = None) -> Iterator[str]:
    """The lines of the table, with the role of each column where there are `roles`; of 100 characters at most."""
    layout = profile.layout
    files = f"{len(layout.files):,} files" if len(layout.files) > 1 else layout.files[0]
    format_ = layout.source
    if layout.source == "csv":
        format_ += f", delimiter {layout.delimiter!r}, {'with' if layout.header else 'without'} a header"
    yield f"{files}: {format_}"
    malformed = f", {profile.malformed:,} of them with a wrong number of fields" if profile.malformed else ""
    yield f"{profile.rows:,} rows{malformed}, {len(profile.columns):,} columns"
    if profile.first_malformed:
        yield profile.first_malformed
    yield ""
    if roles:
        for role in _ROLES:
            name = getattr(roles, role)
            reason = roles.reasons.get(role, "")
            yield _cut(f"{role:8}{name or 'none'}{': ' if name or reason else ''}{reason}", _WIDTH)
        yield ""
    header = f"{'column':{_NAME}} {'type':7} {'missing':>7} {'distinct':>9}  {'values':{_VALUES}}"
    yield f"{header}  becomes" if roles else header.rstrip()
    becomes = _becomes(roles) if roles else {}
    for name, column in profile.columns.items():
        distinct = f"{'' if column.exact else '~'}{column.distinct:,}"
        yield _cut(
            f"{_cut(name, _NAME):{_NAME}} {column.kind:7} {column.missing:7.1%} {distinct:>9}  "
            f"{_cut(_values(profile, column), _VALUES):{_VALUES}}  {becomes.get(name, '')}".rstrip(),
            _WIDTH,
        )
    for name, why in layout.unreadable.items():
        yield _cut(f"{_cut(name, _NAME):{_NAME}} left out: {why}", _WIDTH)


def _becomes(roles: Roles) -> dict[str, str]:
    """What becomes of each column, in a few words."""
    found = {getattr(roles, role): role for role in _ROLES if getattr(roles, role)}
    for each in roles.features:
        if each.used and each.feature:
            how = each.feature.encoding if isinstance(each.feature, Categorical) else each.feature.transform
            found[each.column] = f"{found[each.column]}, {how}" if each.column in found else how
        elif each.column not in found:
            found[each.column] = f"left out: {each.reason.partition(':')[0]}"
    return found


def _values(profile: Profile, column: Column) -> str:
    if column.kind == "time" or time_unit(column):
        return time_range(column).split(" UTC")[0]
    if column.kind in ("integer", "number"):
        return f"{shown(column.low)} to {shown(column.high)}"
    found = dict.fromkeys(text for text in profile.sample[column.name][:1000] if text)
    return ", ".join(text.decode("utf-8", "replace") for text in found)


def _cut(text: str, width: int) -> str:
    """The text, printable and no longer than `width`."""
    line = "".join(character if character.isprintable() else " " for character in text)
    return line if len(line) <= width else f"{line[: width - 3]}..."
