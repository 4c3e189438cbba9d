"""HTML files that need nothing else: no network, no script, light or dark as their reader prefers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from smooth_recs._files import whole_file
from smooth_recs.reports import charts, formats, slice_tables, tables


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
    # Undefined names raise: a page with a hole would look like a run without that measure.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=formats.percent, decimal=formats.decimal, count=formats.count)
    environment.globals.update(series=charts.SERIES, tables=tables, slice_tables=slice_tables)
    text = environment.get_template(template).render(contents)
    with whole_file(output) as beside:
        Path(beside).write_text(text.strip() + "\n", encoding="utf-8")
