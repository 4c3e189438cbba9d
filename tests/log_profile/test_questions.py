"""Questions about a log, with the answers of a user on standard input."""

from __future__ import annotations

import io

import log_cases
import pytest

from smooth_recs.log_profile.column_roles import Given
from smooth_recs.log_profile.layout import layout_of
from smooth_recs.log_profile.profile import profile_of
from smooth_recs.log_profile.questions import asked


@pytest.mark.parametrize(
    ("answers", "given", "found"),
    [
        ("\n\n\n\n", Given(), Given("clicked", "request_id", "when", "none")),
        ("", Given(), Given("clicked", "request_id", "when", "none")),
        ("clickd\nclicked\nnone\n\nprice\n", Given(), Given("clicked", "none", "when", "price")),
        ("\n\nrequest_id\nwhen\nwhen\nclicked\nprice\n", Given(), Given("clicked", "request_id", "when", "price")),
        ("\nprice\n", Given(label="clicked", time="none"), Given("clicked", "request_id", "none", "price")),
    ],
)
def test_enter_takes_the_guess_and_a_wrong_name_is_asked_again(tmp_path, capsys, answers, given, found):
    profile = profile_of(layout_of(str(log_cases.write(tmp_path, "csv"))))
    assert asked(profile, given, io.StringIO(answers)) == found
    said = capsys.readouterr().out
    assert ("no such column: 'clickd'; did you mean clicked?" in said) == answers.startswith("clickd")
    if "when\nwhen" in answers:
        assert "time must name another column than the query, got 'request_id' for both" in said
        assert "weight must name another column than the time, got 'when' for both" in said
        assert "weight must name another column than the label, got 'clicked' for both" in said
    if not given.label:
        assert "label, the column that says whether a row was clicked [clicked]: " in said


def test_without_a_guess_it_asks_until_there_is_an_answer(tmp_path):
    (tmp_path / "a.csv").write_text("x,y2\n3,5\n4,6\n")
    profile = profile_of(layout_of(str(tmp_path / "a.csv")))
    assert asked(profile, Given(), io.StringIO("\nx\n\n\n\n")).label == "x"
    assert asked(profile, Given(), io.StringIO("")).label == ""
