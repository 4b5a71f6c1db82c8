#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a disk with PostgreSQL from unmodified Debian packages: no root, no mount.

usage: bench/postgres.py IMAGES DISK    (IMAGES is build/image, whose cache it shares)

DISK is ext4 with what bench/postgres.list takes and our own files, bench/postgres/; a
guest mounts it and makes the database in it (bench/pgbench.sh).
"""
import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, f"{os.path.dirname(HERE)}/image")
import build  # noqa: E402


class Folder:
    """What cpio.Cpio is, but a folder of the host's."""

    def __init__(self, path):
        self.path = path
        self.seen = set()

    def entry(self, name, mode, data=b""):
        full = f"{self.path}/{name}"
        self.seen.add(name)
        if mode & 0o170000 == 0o040000:
            os.makedirs(full, exist_ok=True)
            return
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "wb") as file:
            file.write(data)
        os.chmod(full, mode & 0o777)

    def link(self, name, target):
        full = f"{self.path}/{name}"
        self.seen.add(name)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        if not os.path.lexists(full):
            os.symlink(target, full)


def main():
    images, disk = sys.argv[1:]
    packages = build.Packages(os.path.abspath(images))
    entries = build.read_list(f"{HERE}/postgres.list")
    packages.fetch({package for package, _ in entries})
    folder = Folder(f"{disk}.root")
    shutil.rmtree(folder.path, ignore_errors=True)
    build.add_own(folder, f"{HERE}/postgres")
    for name in ("proc", "dev", "tmp"):
        folder.entry(name, 0o040755)
    for package, patterns in entries:
        build.add_files(folder, "postgres", packages, package, patterns)
    build.add_busybox_names(folder, packages)
    build.check_libraries(folder, packages, entries)
    build.make_ext4(disk, "512M", folder.path, "postgres")
    shutil.rmtree(folder.path)


main()
