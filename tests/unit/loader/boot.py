#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Boots kernels through the real loader on a bare QEMU machine.

  boot.py WRAPPER IMAGES OUT [XEN]

IMAGES is what "images.py repack" made. XEN, stock Xen's ELF file, adds runs as
its dom0, where the loader speaks by hypercalls. Each run ends at the line it waits for
or after a time limit. Prints "ok NAME" or "not ok NAME: why".
"""
import gzip
import os
import re
import subprocess
import sys
import threading

import images

LIMIT = 120  # seconds for one run
LINUX = r"Linux version 6\."
RAMDISK = r"RAMDISK: \[mem 0x[0-9a-f]+-0x[0-9a-f]+\]"


def run(arguments, last):
    """Serial output up to the line that matches last, or to the limit."""
    qemu = subprocess.Popen(
        ["qemu-system-x86_64", "-accel", "tcg", "-nodefaults", "-display",
         "none", "-serial", "stdio", "-no-reboot"] + arguments,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace")
    timer = threading.Timer(LIMIT, qemu.kill)
    timer.start()
    seen = ""
    for line in qemu.stdout:
        seen += line
        if re.search(last, line):
            break
    qemu.kill()
    qemu.wait()
    timer.cancel()
    return seen


def bare(wrapper, bundle, memory):
    return ["-m", str(memory), "-kernel", wrapper, "-initrd", bundle,
            "-append", "console=ttyS0"]


def on_xen(xen, wrapper, bundle):
    return ["-machine", "q35", "-cpu", "EPYC,-rdtscp,-monitor", "-m", "1024",
            "-kernel", xen, "-append", "com1=115200,8n1 console=com1 dom0=pvh "
            "dom0-iommu=none dom0_mem=512M noreboot", "-initrd",
            f"{wrapper} console=hvc0 earlyprintk=xen,{bundle}"]


def flipped(image):
    """One bit of the payload's middle is wrong."""
    start, payload = images.payload_of(image)
    out = bytearray(image)
    out[start + len(payload) // 2] ^= 0x10
    return bytes(out)


def without_note(elf):
    """The PVH entry's note becomes one of another type."""
    note = b"\4\0\0\0\x08\0\0\0\x12\0\0\0Xen\0"
    assert elf.count(note) == 1
    return elf.replace(note, note.replace(b"\x12", b"\x13"))


def cases(folder):
    """Name, image, memory in MiB, the lines that must come in this order."""
    def read(name):
        with open(os.path.join(folder, name), "rb") as f:
            return f.read()

    yield ("state", read("state"), 64 + 128,
           [r"^loader: dom0 kernel: not packed, 0\.\d MiB unpacked, entry "
            r"0x1000[0-9a-f]+\r?$", r"^state-good"])

    def good(packing):
        return [rf"^loader: dom0 kernel: {packing}, 62\.\d MiB unpacked, "
                r"entry 0x1000[0-9a-f]+\r?$", LINUX, RAMDISK]

    for name, packing in [("debian", "xz"), ("gzip", "gzip"), ("xz", "xz"),
                          ("xz-crc64", "xz"), ("zstd", "zstd"), ("lz4", "lz4"),
                          ("none", "not packed"), ("gz", "xz")]:
        yield name, read(f"bzimage-{name}"), 512, good(packing)
    yield "elf", read("elf"), 512, good("not packed")
    yield "elf-gz", read("elf-gz"), 512, good("gzip")

    debian = read("bzimage-debian")
    yield ("bad-flipped", flipped(debian), 512,
           ["^loader: dom0 kernel: xz data is corrupt\r?$"])
    yield ("bad-cut", debian[:len(debian) // 2], 512,
           ["^loader: dom0 kernel: the image is cut off "])
    yield ("bad-no-entry", without_note(read("elf")), 512,
           [r"^loader: dom0 kernel has no PVH entry \(Xen note 18\); "])
    yield ("bad-memory", debian, 176,
           ["^loader: dom0 kernel: .*raise dom0_mem\r?$"])


def check(name, seen, want, out):
    """Do the lines come in this order? Says so; counts a failure."""
    at = 0
    with open(os.path.join(out, name + ".txt"), "w") as f:
        f.write(seen)
    for pattern in want:
        hit = re.compile(pattern, re.M).search(seen, at)
        if not hit:
            print(f"not ok {name}: no line like {pattern!r}; see "
                  f"{out}/{name}.txt", flush=True)
            return 1
        at = hit.end()
    print(f"ok {name}", flush=True)
    return 0


def main(wrapper, folder, out, xen=None):
    failed = 0
    os.makedirs(out, exist_ok=True)
    bundle = os.path.join(out, "bundle")
    initrd = gzip.compress(b"070701" + b"0" * 88 + b"0000000B00000000" +
                           b"TRAILER!!!\0", mtime=0)
    for name, image, memory, want in cases(folder):
        with open(bundle, "wb") as f:
            f.write(images.bundle([image, initrd]))
        seen = run(bare(wrapper, bundle, memory), want[-1])
        failed += check("boot-" + name, seen, want, out)
        if not xen or name not in ("debian", "bad-flipped"):
            continue
        if name.startswith("bad"):
            want.append(r"Hardware Dom0 crashed")
        seen = run(on_xen(xen, wrapper, bundle), want[-1])
        failed += check("xen-" + name, seen, want, out)
    return failed != 0


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
