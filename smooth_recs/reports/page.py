"""HTML files that need nothing else: no network, light or dark as their reader prefers.

One script of the package, which stands in the page, sorts tables and shows the values of charts. All else works without
it, and the page's policy lets no other script run.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from smooth_recs import _files
from smooth_recs.reports import charts, formats, slice_tables, tables

# Where `page.contents()` of a template stands; texts of users cannot hold it, because they are escaped.
_CONTENTS = '<nav class="contents"></nav>'
_FEWEST_HEADINGS = 4


def write(template: str, contents: Mapping[str, Any], output: str) -> None:
    """Fills one of `templates/` and writes the page; its folder is made where it does not exist.

    Args:
      template: a file name, such as `report.html.j2`; `page.html.j2` has the parts that all pages share.
      contents: the values of the names that the template uses. All text is escaped.
      output: path of the HTML file.

    ```python
    page.write("comparison.html.j2", {...}, "runs/comparison.html")
    ```
    """
    text = _environment().get_template(template).render(contents)
    _files.write_text(output, text.strip() + "\n")


@functools.cache
def _environment() -> jinja2.Environment:
    """What pages are rendered with; made once, as each template takes a tenth of a second to compile."""
    # Undefined names raise: a page with a hole would look like a run without that measure.
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("smooth_recs.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=formats.percent, decimal=formats.decimal, count=formats.count)
    script = resources.files("smooth_recs.reports").joinpath("templates", "report.js").read_text("utf-8")
    environment.globals.update(
        series=charts.SERIES,
        tables=tables,
        slice_tables=slice_tables,
        with_contents=with_contents,
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    return environment


def with_contents(body: str) -> Markup:
    """The body of a page with an id in each heading, and links to them where `page.contents()` stands.

    >>> str(with_contents("<h2>Where it is</h2>"))
    '<h2 id="where-it-is">Where it is</h2>'
    """
    found: dict[str, str] = {}

    def heading(match: re.Match[str]) -> str:
        plain = re.sub(r"<[^>]*>", "", match[1])
        base = re.sub(r"[^a-z0-9]+", "-", html.unescape(plain).lower()).strip("-") or "section"
        name = base if base not in found else f"{base}-{len(found)}"
        found[name] = plain.strip()
        return f'<h2 id="{name}">{match[1]}</h2>'

    text = re.sub(r"<h2>(.*?)</h2>", heading, str(body), flags=re.DOTALL)
    items = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title in found.items())
    listed = f'<nav class="contents" aria-label="Contents"><ul>{items}</ul></nav>'
    return Markup(text.replace(_CONTENTS, listed if len(found) >= _FEWEST_HEADINGS else ""))
