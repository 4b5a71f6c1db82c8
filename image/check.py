#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that the images hold Debian's files, byte for byte.

usage: image/check.py OUT       (OUT is build/image)

1. Each package file has the sha256 that Debian's signed index gives (apt-cache
   show); the package's own list of md5 sums is inside it.
2. Each file in an initrd, and the kernel, has the md5 sum that its package
   lists, or it is one of ours: image/dom0, image/guest, image/driver, the modules' index.
"""
import glob
import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile

from cpio import regular_files

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = sys.argv[1]
OWN = re.compile(r"lib/modules/[^/]+/modules\.(dep|alias)$")
FAILED = []


def result(what, problems):
    if problems:
        FAILED.append(what)
        print(f"not ok {what}: {'; '.join(problems[:5])}")
    else:
        print(f"ok {what}")


def archive_of(package):
    return max(glob.glob(f"{OUT}/cache/{package}_*.deb"),
               key=os.path.getmtime)


def indexed_sums(package):
    """The sha256 of every version that apt's index has."""
    text = subprocess.run(["apt-cache", "show", "--all-versions", package],
                          capture_output=True, text=True).stdout
    return set(re.findall(r"^SHA256: (\w+)", text, re.M))


def listed_md5(package):
    """The package's own md5 sums; configuration files are not among them."""
    tar = subprocess.run(["dpkg-deb", "--ctrl-tarfile", archive_of(package)],
                         check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(tar)) as control:
        text = control.extractfile("./md5sums").read().decode()
    return {path: md5 for md5, path in
            (line.split(maxsplit=1) for line in text.splitlines())}


def from_data(package, path):
    """md5 of a file as it stands in the package itself (for /etc)."""
    data = subprocess.run(["dpkg-deb", "--fsys-tarfile", archive_of(package)],
                          check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as tree:
        return hashlib.md5(tree.extractfile(f"./{path}").read()).hexdigest()


def check_packages(packages):
    problems = []
    for package in sorted(packages):
        with open(archive_of(package), "rb") as file:
            found = hashlib.sha256(file.read()).hexdigest()
        if found not in indexed_sums(package):
            problems.append(f"{package} is not what Debian's index says")
    result(f"image: {len(packages)} packages are Debian's", problems)


def check_files(image, files, origin, sums):
    """files: path to bytes; origin: path to package."""
    problems, taken, own = [], 0, 0
    for path, data in files.items():
        md5 = hashlib.md5(data).hexdigest()
        source = f"{HERE}/{image}/{path}"
        if path in origin:
            package = origin[path]
            want = sums[package].get(path) or from_data(package, path)
            taken += 1
        elif os.path.isfile(source):
            with open(source, "rb") as file:
                want = hashlib.md5(file.read()).hexdigest()
            own += 1
        else:
            want = md5 if OWN.match(path) else None
        if md5 != want:
            problems.append(f"{path} is neither Debian's nor ours")
    if not taken:
        problems.append("nothing of Debian's is in it")
    result(f"image: {image}: {taken} files are Debian's, {own} ours", problems)


def main():
    with open(f"{OUT}/manifest") as file:
        lines = [line.split() for line in file]
    packages = {package for _, package, _, _ in lines}
    sums = {package: listed_md5(package) for package in packages}
    check_packages(packages)
    for image in ("dom0", "guest", "driver"):
        origin = {path: package for _, package, path, where in lines
                  if where == image}
        check_files(image, regular_files(f"{OUT}/{image}.cpio"), origin, sums)
    package, path = [(p, f) for _, p, f, where in lines
                     if where == "kernel"][0]
    with open(f"{OUT}/vmlinuz", "rb") as file:
        kernel = {path: file.read()}
    check_files("kernel", kernel, {path: package}, sums)
    sys.exit(bool(FAILED))


main()
