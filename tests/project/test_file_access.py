"""Files of users are opened, listed, written and removed by one module alone, so that each may be at a URL."""

from __future__ import annotations

import ast

from source_imports import modules

SEAM = ("smooth_recs._paths", "smooth_recs._files")  # what a path means, and what is done with the file there
# Modules whose files are of this machine alone, and why; each is still in need of its exception.
EXCEPTIONS = {
    "smooth_recs._locks": {
        "fcntl": "the kernel's lock is on a local file",
        "os.open": "",
        "os.stat": "",
        "os.remove": "",
    },
    "smooth_recs._memory": {"pathlib": "what the kernel says under /proc and /sys"},
    "smooth_recs.bin._command": {
        "tempfile": "what a process writes to standard error goes through a file without a name",
        **dict.fromkeys(("open", "os.open", "shutil"), ""),
    },
    "smooth_recs.bin._configurations": {"pathlib": "the ready configurations of this package"},
    "smooth_recs.bin._subcommands": {"pathlib": "the binaries of this package"},
    "smooth_recs.cluster.local": {"open": "logs of processes that run on this machine", "pathlib": ""},
    "smooth_recs.experiments.sweeps.sweep_plan": {"pathlib": "Python files of configurations, which runpy takes"},
    "smooth_recs.experiments.training_processes": {"open": "no input: /dev/null"},
    "smooth_recs.layers.embedding_tables": {"pathlib": "what the kernel says under /sys and /proc"},
    "smooth_recs.training.progress_line": {"shutil": "the size of the terminal"},
    "smooth_recs.serving.loader_process": {"tempfile": "what two processes of this machine hand to each other"},
}
LIBRARIES = {"fcntl", "glob", "pathlib", "shutil", "tempfile"}
# Names of `os` that take a path and ask the file system, and those of `os.path` that would spoil a URL.
OF_OS = {
    *("access", "chmod", "link", "listdir", "lstat", "makedirs", "mkdir", "open", "readlink", "remove", "removedirs"),
    *("rename", "renames", "replace", "rmdir", "scandir", "stat", "symlink", "truncate", "unlink", "utime", "walk"),
}
OF_PATH = {
    *("abspath", "dirname", "exists", "expanduser", "getmtime", "getsize", "isdir", "isfile", "islink", "lexists"),
    *("normpath", "realpath", "samefile"),
}


def used(source: str) -> set[str]:
    """What the source uses of the file system past the seam."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & LIBRARIES
        elif isinstance(node, ast.ImportFrom):
            found |= {str(node.module)} & {*LIBRARIES, "os", "os.path"}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open":
            found.add("open")
        elif isinstance(node, ast.Attribute):
            name = ast.unparse(node)
            module, _, last = name.rpartition(".")
            if (module == "os" and last in OF_OS) or (module == "os.path" and last in OF_PATH) or last == "gfile":
                found.add(name)
    return found


def test_what_passes_the_seam_is_seen():
    source = """
import shutil
from pathlib import Path
with open(path) as file: found = os.path.join(folder, os.path.basename(path))
os.rename(os.path.abspath(a), b); tf.io.gfile.exists(a); any(map(os.path.exists, paths)); zipfile.ZipFile.open(a)
"""
    expected = {"shutil", "pathlib", "open", "os.rename", "os.path.abspath", "tf.io.gfile", "os.path.exists"}
    assert used(source) == expected


def test_files_of_users_go_through_one_module():
    found = {name: used(path.read_text("utf-8")) for name, path in modules().items() if name not in SEAM}
    assert {name: names for name, names in found.items() if names} == {n: set(e) for n, e in EXCEPTIONS.items()}
    assert all(any(reasons.values()) for reasons in EXCEPTIONS.values())
