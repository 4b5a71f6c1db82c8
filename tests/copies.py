# SPDX-License-Identifier: Apache-2.0
"""Copies of the sources in which something is changed for a while, to see which
tests notice."""
import contextlib
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent


def copy_sources(tree):
    """What `make` needs, in another folder."""
    for name in ("core", "tests", "loader", "image", "scripts", "Makefile"):
        what = ROOT / name
        (shutil.copytree if what.is_dir() else shutil.copy)(what, tree / name)


@contextlib.contextmanager
def changed(tree, file, old, new):
    """In that copy of the sources, for a while.  LookupError: the text is not once there."""
    text = (tree / file).read_text()
    if text.count(old) != 1:
        raise LookupError(f"its text is there {text.count(old)} times in {file}")
    (tree / file).write_text(text.replace(old, new))
    try:
        yield
    finally:
        (tree / file).write_text(text)


def make(tree, *what):
    return subprocess.run(["make", "-s", "-j2", "WARN=-w", *what], cwd=tree, capture_output=True,
                          text=True, errors="replace")
