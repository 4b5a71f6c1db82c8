#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes kernel images for the loader's tests.

  images.py bundle OUT FILE...      the wrapper's bundle of files
  images.py repack VMLINUZ DIR      the same kernel in every packing
"""
import gzip
import os
import struct
import subprocess
import sys

PAGE = 4096


def bundle(files):
    """The format of wrapper.c's struct bundle; each file on pages of its own."""
    head = struct.pack("<4sI", b"INSB", len(files))
    body = b""
    for data in files:
        offset = PAGE + len(body)
        head += struct.pack("<II", offset, len(data))
        body += data + bytes(-len(data) % PAGE)
    return head.ljust(PAGE, b"\0") + body


def payload_of(image):
    setup = (image[0x1F1] or 4) + 1
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = setup * 512 + offset
    return start, image[start:start + length]


def with_payload(image, payload):
    """The bzImage with another payload."""
    start, _ = payload_of(image)
    out = bytearray(image[:start] + payload)
    struct.pack_into("<I", out, 0x24C, len(payload))
    return bytes(out)


def run(command, data):
    return subprocess.run(command, input=data, stdout=subprocess.PIPE,
                          check=True).stdout


def packings(elf, fast=False):
    """The payload in each packing, made as the kernel's own build makes it."""
    size = struct.pack("<I", len(elf))
    level = "-1" if fast else "-6"
    return {
        "gzip": gzip.compress(elf, 6, mtime=0),
        "xz": run(["xz", "--check=crc32", "--x86",
                   "--lzma2=preset=1,dict=32MiB", "-c"], elf) + size,
        "xz-crc64": run(["xz", "--check=crc64", level, "-c"], elf) + size,
        "zstd": run(["zstd", "-q", "-3" if fast else "-9", "-c"], elf) + size,
        "lz4": run(["lz4", "-q", "-l", "-c"], elf) + size,
        "none": elf,
    }


def repack(vmlinuz, folder):
    with open(vmlinuz, "rb") as f:
        image = f.read()
    _, payload = payload_of(image)
    elf = run(["xz", "-dc", "--single-stream"], payload[:-4])
    os.makedirs(folder, exist_ok=True)
    files = {f"bzimage-{n}": with_payload(image, p)
             for n, p in packings(elf, fast=True).items()}
    files["bzimage-debian"] = image
    files["elf"] = elf
    files["elf-gz"] = gzip.compress(elf, 1, mtime=0)
    files["bzimage-gz"] = gzip.compress(image, 1, mtime=0)
    for name, data in files.items():
        with open(os.path.join(folder, name), "wb") as f:
            f.write(data)


def main(args):
    if args[:1] == ["bundle"] and len(args) > 2:
        files = [open(name, "rb").read() for name in args[2:]]
        with open(args[1], "wb") as f:
            f.write(bundle(files))
    elif args[:1] == ["repack"] and len(args) == 3:
        repack(args[1], args[2])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
