"""A first configuration for a log, ready to train: look, ask, say what was found, write."""

from __future__ import annotations

import sys
from typing import Any

from smooth_recs import _files, validation
from smooth_recs.errors import InputError
from smooth_recs.log_profile import configuration_file, profile_table
from smooth_recs.log_profile.column_roles import Given, roles_of
from smooth_recs.log_profile.layout import GivenLayout, layout_of
from smooth_recs.log_profile.profile import profile_of
from smooth_recs.log_profile.questions import asked


def write(
    path: str,
    output: str,
    given: Given,
    *,
    layout: GivenLayout | None = None,
    ask: bool = False,
) -> None:
    """Writes a configuration for the log under `path`, and prints the profile that it follows from.

    Args:
      path: a file, a folder or a glob, several separated by commas.
      output: the file to write.
      given: the roles of columns that are known.
      layout: what is known of the files.
      ask: whether the roles of the other columns are asked for on standard input.

    Raises:
      InputError: the files are not a log, or the roles of their columns are not clear.
    """
    try:
        found = profile_of(layout_of(path, layout))
    except InputError as error:  # what reads files knows their place in a configuration
        raise InputError(str(error).replace("data.path", "--data").replace("data.", "--")) from error
    given.check(found)
    if ask:
        given = asked(found, given, sys.stdin)
    roles = roles_of(found, given)
    print("\n".join(profile_table.lines(found, roles)))
    text = configuration_file.text_of(found, roles, output)
    program: dict[str, Any] = {}
    exec(compile(text, output, "exec"), program)
    validation.validate(program["get_config"]())
    _files.write_text(output, text)
