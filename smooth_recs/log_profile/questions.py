"""Questions on a terminal about what was guessed of a log; Enter takes the guess."""

from __future__ import annotations

import dataclasses
from typing import Any, TextIO

from smooth_recs.fields import did_you_mean
from smooth_recs.log_profile import column_roles, profile_table
from smooth_recs.log_profile.column_roles import NONE, Given
from smooth_recs.log_profile.profile import Profile

_QUESTIONS = {
    "label": (column_roles.label_candidates, "the column that says whether a row was clicked"),
    "query": (column_roles.query_candidates, "the column that says which rows were shown together"),
    "time": (column_roles.time_candidates, "the column that says when"),
    "weight": (column_roles.weight_candidates, "the column of example weights"),
}


def asked(profile: Profile, given: Given, answers: TextIO) -> Given:
    """What is given, with the answers for the roles that are not.

    Args:
      profile: of the log.
      given: by flags.
      answers: a line for each question, which is asked again until the answer names a column. At its end the guesses
        are taken.
    """
    print("\n".join(profile_table.lines(profile)))
    print(f"\nEnter takes what stands in brackets; {NONE} is no column.")
    for role, (candidates, what) in _QUESTIONS.items():
        taken = {name: each for each in _QUESTIONS if (name := getattr(given, each))}
        several = [name for name in candidates(profile) if name not in taken]
        guess = several[0] if several else "" if role == "label" else NONE
        others = f", or {', '.join(several[1:])}" if several[1:] else ""
        while not getattr(given, role):
            print(f"{role}, {what} [{guess}{others}]: ", end="", flush=True)
            line = answers.readline()
            answer = line.strip() or guess
            wrong = column_roles.unfit(profile, role, answer, taken) if answer in profile.columns else ""
            if wrong:
                print(f"{role} {wrong}")
            elif answer in profile.columns or (answer == NONE and role != "label"):
                named: dict[str, Any] = {role: answer}
                given = dataclasses.replace(given, **named)
            elif not line:
                break  # without a guess: `column_roles` says what is missing
            else:
                print(f"no such column: {answer!r}; {did_you_mean(answer, profile.columns)}".rstrip("; "))
    print()
    return given
