"""The documentation as a site, as `make docs` builds it: every link, every heading and every formula."""

from __future__ import annotations

import logging
import os
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from documented_pages import PAGES
from source_imports import ROOT

for needed in ("mkdocs", "material", "latex2mathml"):
    pytest.importorskip(needed, reason="needs the extra [docs]")

# Pages link sources, which the copy that the wheel is tested in does not have.
SOURCES = Path(os.environ.get("SMOOTH_RECS_SOURCES") or ROOT)
SITE = runpy.run_path(str(SOURCES / "docs" / "make_site.py"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    SITE["make"](folder, reference=False)
    return folder


def test_every_page_is_there(site: Path) -> None:
    paths = {Path(page.replace("README", "index")).with_suffix(".html") for page in PAGES}
    assert len(paths) > 20
    assert not [path for path in paths if not (site / path).is_file()]


def test_pictures_and_formulas_are_shown_without_a_network(site: Path) -> None:
    front = (site / "index.html").read_text("utf-8")
    assert (site / "docs" / "averaging" / "averages.png").is_file()
    assert 'src="docs/averaging/averages.png"' in front
    assert "<math" in front
    assert "(eq. 7)" in front
    pages = {path: path.read_text("utf-8") for path in site.rglob("*.html")}
    assert pages[site / "docs" / "equations.html"].count("<math") > 25
    loads = re.compile(r"""<(?:script|img|link|iframe)[^>]+(?:src|href)=["']?(https?:)?//""")
    assert not [path for path, text in pages.items() if loads.search(text)]


@pytest.mark.parametrize("wrong", ["[gone](gone.md)", "[gone](data.md#no-such-heading)", "![gone](gone.png)"])
def test_a_link_that_leads_nowhere_is_an_error(
    wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lay_out: Any = SITE["lay_out"]

    def broken(folder: Path) -> None:
        lay_out(folder)
        for page in sorted((folder / "docs").glob("*.md")):
            page.write_text(wrong if page.stem == "beta" else "# Data\n", "utf-8")
        (folder / "README.md").write_text("# Front\n", "utf-8")

    monkeypatch.setitem(SITE["make"].__globals__, "lay_out", broken)
    with caplog.at_level(logging.WARNING), pytest.raises(SystemExit):
        SITE["make"](tmp_path, reference=False)
    assert re.search(r"beta\.md' contains a link '(gone|data)", caplog.text)
