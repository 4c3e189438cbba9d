"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def whole_file(path: str) -> Iterator[str]:
    """A path to write to, of the same name, whose file becomes that of `path` at the end; after an error none does.

    Its folder is made where it does not exist. Other processes see the file of before, or the whole new one.

    ```python
    with whole_file("runs/notes.txt") as beside, open(beside, "w") as file:
        file.write("done")
    ```
    """
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with tempfile.TemporaryDirectory(dir=os.path.dirname(path) or ".", prefix=".writing-") as folder:
        # Others may read a file that is opened in the folder, as those of a training run, unlike a temporary file.
        beside = os.path.join(folder, os.path.basename(path))
        yield beside
        os.replace(beside, path)
