#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Packs files into a cpio archive, to be put behind an initrd.

usage: image/add.py ARCHIVE FOLDER PATH...    (paths relative to FOLDER)
"""
import os
import sys

from cpio import Cpio

archive = Cpio(sys.argv[1])
for path in sys.argv[3:]:
    full = os.path.join(sys.argv[2], path)
    with open(full, "rb") as file:
        archive.entry(path, 0o100000 | os.stat(full).st_mode & 0o777,
                      file.read())
archive.close()
