#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the dom0 and guest images from unmodified Debian packages.

usage: image/build.py OUT       (OUT is build/image)

OUT/cache/      the packages, downloaded once with apt-get and kept
OUT/vmlinuz     Debian's kernel, for dom0 and for the guests
OUT/dom0.cpio   dom0's initrd: image/dom0.list and image/dom0/
OUT/guest.cpio  a guest's initrd: image/guest.list and image/guest/
OUT/driver.cpio a driver domain's initrd: image/driver.list and image/driver/
OUT/guests.cpio the guests' kernel and initrds in /guests: append it to dom0.cpio
OUT/disk.img    ext4, for dom0's disk: what coke and pepsi boot from
OUT/manifest    each file taken: sha256, package, path in the package, image

An initrd may be two cpio archives, one behind the other; so tests add their
files to dom0.cpio and never make it anew.
"""
import glob
import gzip
import hashlib
import os
import re
import subprocess
import sys

from cpio import Cpio

HERE = os.path.dirname(os.path.abspath(__file__))
GUESTS = ("coke", "pepsi")


def say(text):
    print(f"  IMAGE  {text}", flush=True)


class Packages:
    """Debian's packages: downloaded into a cache, unpacked beside it."""

    def __init__(self, out):
        self.cache = os.path.join(out, "cache")
        self.out = out
        self.manifest = []
        os.makedirs(self.cache, exist_ok=True)
        os.makedirs(f"{out}/unpacked", exist_ok=True)

    def archive(self, name):
        found = glob.glob(f"{self.cache}/{name}_*.deb")
        return max(found, key=os.path.getmtime) if found else None

    def fetch(self, names):
        missing = sorted(n for n in names if not self.archive(n))
        if not missing:
            return
        say(f"downloading {len(missing)} packages: {' '.join(missing)}")
        subprocess.run(["apt-get", "download", "-q", "-o",
                        "APT::Sandbox::User=root", *missing],
                       cwd=self.cache, check=True,
                       stdout=subprocess.DEVNULL)

    def tree(self, name):
        """The folder in which the package is unpacked."""
        archive = self.archive(name)
        folder = f"{self.out}/unpacked/{os.path.basename(archive)}"
        if not os.path.isdir(folder):
            say(f"unpacking {os.path.basename(archive)}")
            subprocess.run(["dpkg-deb", "-x", archive, folder + ".part"],
                           check=True)
            os.rename(folder + ".part", folder)
        return folder

    def take(self, image, package, path):
        """The bytes of one file, noted in the manifest."""
        with open(f"{self.tree(package)}/{path}", "rb") as file:
            data = file.read()
        self.manifest.append((hashlib.sha256(data).hexdigest(), package, path,
                              image))
        return data

    def kernel(self):
        """The package that linux-image-amd64 stands for."""
        kept = glob.glob(f"{self.cache}/linux-image-6*.deb")
        if kept:
            return os.path.basename(max(kept)).split("_")[0]
        text = subprocess.run(["apt-cache", "depends", "linux-image-amd64"],
                              check=True, capture_output=True, text=True)
        return re.search(r"Depends: (linux-image-\S+)", text.stdout)[1]


class Modules:
    """Kernel modules by name, with what they depend on."""

    def __init__(self, tree):
        self.tree = tree
        self.path = {}
        for path in glob.glob(f"{tree}/lib/modules/*/**/*.ko", recursive=True):
            name = os.path.basename(path)[:-3].replace("-", "_")
            self.path[name] = os.path.relpath(path, tree)

    def info(self, name, key):
        with open(f"{self.tree}/{self.path[name]}", "rb") as file:
            return [found.decode() for found in
                    re.findall(rb"\0" + key + rb"=([^\0]*)", file.read())]

    def needs(self, name):
        return [n.replace("-", "_") for line in self.info(name, b"depends")
                for n in line.split(",") if n]

    def closure(self, names):
        """All that NAMES need, each behind its own needs."""
        done = []

        def visit(name):
            for need in self.needs(name):
                visit(need)
            if name not in done:
                done.append(name)
        for name in names:
            visit(name.replace("-", "_"))
        return done


def read_list(path):
    with open(path) as file:
        lines = [line.split("#")[0].split() for line in file]
    return [(line[0], line[1:]) for line in lines if line]


def add_files(cpio, image, packages, package, patterns):
    tree = packages.tree(package)
    for pattern in patterns:
        found = sorted(glob.glob(f"{tree}/{pattern}"))
        if not found:
            sys.exit(f"image: {package} has no {pattern}")
        for full in found:
            path = os.path.relpath(full, tree)
            if os.path.islink(full):
                cpio.link(path, os.readlink(full))
                continue
            cpio.entry(path, 0o100000 | os.stat(full).st_mode & 0o777,
                       packages.take(image, package, path))


def add_modules(cpio, image, packages, kernel, names):
    """The modules, and the two indexes that modprobe reads."""
    modules = Modules(packages.tree(kernel))
    closure = modules.closure(names)
    folder = re.match(r"lib/modules/[^/]+", modules.path[closure[0]])[0]
    deps, aliases = "", ""
    for name in closure:
        path = modules.path[name]
        cpio.entry(path, 0o100644, packages.take(image, kernel, path))
        behind = [n for n in modules.closure([name]) if n != name]
        paths = [os.path.relpath(modules.path[n], folder)
                 for n in [name, *reversed(behind)]]
        deps += f"{paths[0]}: {' '.join(paths[1:])}\n"
        for alias in modules.info(name, b"alias"):
            aliases += f"alias {alias} {name}\n"
    cpio.entry(f"{folder}/modules.dep", 0o100644, deps.encode())
    cpio.entry(f"{folder}/modules.alias", 0o100644, aliases.encode())


def add_own(cpio, folder):
    """Our own scripts."""
    for base, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            full = os.path.join(base, name)
            with open(full, "rb") as file:
                cpio.entry(os.path.relpath(full, folder),
                           0o100000 | os.stat(full).st_mode & 0o755,
                           file.read())


def add_busybox_names(cpio, packages):
    busybox = packages.tree("busybox-static") + "/bin/busybox"
    names = subprocess.run([busybox, "--list"], check=True, text=True,
                           capture_output=True).stdout.split()
    for name in names:
        cpio.link(f"bin/{name}", "busybox")


def check_libraries(cpio, packages, entries):
    """Every library that a program of the image needs is in the image."""
    have = {os.path.basename(name) for name in cpio.seen}
    for package, patterns in entries:
        tree = packages.tree(package)
        for full in (f for p in patterns for f in glob.glob(f"{tree}/{p}")):
            text = subprocess.run(["objdump", "-p", full], text=True,
                                  capture_output=True).stdout
            for need in re.findall(r"NEEDED\s+(\S+)", text):
                if need not in have:
                    sys.exit(f"image: {full} needs {need}")


def make_initrd(out, image, packages, kernel):
    entries = read_list(f"{HERE}/{image}.list")
    files = [e for e in entries if e[0] != "module"]
    names = [n for word, rest in entries if word == "module" for n in rest]
    cpio = Cpio(f"{out}/{image}.cpio")
    add_own(cpio, f"{HERE}/{image}")
    for folder in ("proc", "sys", "dev", "run", "tmp", "var/log/xen", "etc",
                   "var/lib/xen", "mnt", "root", "sbin", "guests", "test"):
        cpio.entry(folder, 0o040755)
    cpio.entry("dev/console", 0o020600, device=(5, 1))
    cpio.entry("dev/null", 0o020666, device=(1, 3))
    cpio.link("var/run", "../run")
    cpio.link("var/lock", "../run")
    cpio.link("sbin/modprobe", "../bin/busybox")
    for package, patterns in files:
        add_files(cpio, image, packages, package, patterns)
    add_modules(cpio, image, packages, kernel, names)
    add_busybox_names(cpio, packages)
    check_libraries(cpio, packages, files)
    cpio.close()
    say(f"{image}.cpio: {os.path.getsize(f'{out}/{image}.cpio') >> 10} KiB")


def read(path):
    with open(path, "rb") as file:
        return file.read()


def make_guests(out):
    """What dom0 needs to create guests, as an archive of its own."""
    cpio = Cpio(f"{out}/guests.cpio")
    cpio.entry("guests/vmlinuz", 0o100644, read(f"{out}/vmlinuz"))
    cpio.entry("guests/initrd", 0o100644, read(f"{out}/guest.cpio"))
    cpio.entry("guests/driver", 0o100644, read(f"{out}/driver.cpio"))
    cpio.close()


def make_ext4(path, size, folder, label):
    """A file system made by mke2fs from a folder: no mount, no root."""
    if os.path.exists(path):
        os.remove(path)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-L", label, "-d", folder,
                    "-E", "root_owner=0:0,hash_seed=" + "0" * 8 +
                    "-0000-0000-0000-" + "0" * 12, "-m", "0", path, size],
                   stdout=subprocess.DEVNULL,
                   check=True, env={**os.environ,
                                    "PATH": os.environ["PATH"] + ":/sbin"})


def make_disk(out):
    """dom0's disk: one ext4 image file for each guest."""
    top = f"{out}/disk"
    os.makedirs(top, exist_ok=True)
    for name in GUESTS:
        folder = f"{out}/{name}"
        os.makedirs(f"{folder}/www", exist_ok=True)
        with open(f"{folder}/name", "w") as file:
            file.write(name + "\n")
        with open(f"{folder}/www/index.html", "wb") as file:
            file.write(read(f"{HERE}/pages/{name}.html"))
        # 256 KiB without a pattern: full frames, whose bytes can be compared.
        with open(f"{folder}/www/data", "wb") as file:
            for i in range(8192):
                file.write(hashlib.sha256(f"{name} {i}".encode()).digest())
        make_ext4(f"{top}/{name}.img", "16M", folder, name)
    make_ext4(f"{out}/disk.img", "48M", top, "insula")


def stock_xen(out, packages):
    """Debian's hypervisor, the reference, as qemu -kernel loads it."""
    data = packages.take("stock", "xen-hypervisor-4.17-amd64",
                         "boot/xen-4.17-amd64.gz")
    with open(f"{out}/xen.elf", "wb") as file:
        file.write(gzip.decompress(data))


def main():
    out = os.path.abspath(sys.argv[1])
    packages = Packages(out)
    # The manifest is written last: without it the images are not complete.
    if os.path.exists(f"{out}/manifest"):
        os.remove(f"{out}/manifest")
    kernel = packages.kernel()
    wanted = {kernel, "xen-hypervisor-4.17-amd64"}
    for image in ("dom0", "guest", "driver"):
        wanted |= {e[0] for e in read_list(f"{HERE}/{image}.list")}
    packages.fetch(wanted - {"module"})
    stock_xen(out, packages)
    vmlinuz = os.path.basename(
        glob.glob(f"{packages.tree(kernel)}/boot/vmlinuz-*")[0])
    with open(f"{out}/vmlinuz", "wb") as file:
        file.write(packages.take("kernel", kernel, f"boot/{vmlinuz}"))
    for image in ("guest", "driver", "dom0"):
        make_initrd(out, image, packages, kernel)
    make_guests(out)
    make_disk(out)
    with open(f"{out}/manifest", "w") as file:
        for line in packages.manifest:
            file.write(" ".join(line) + "\n")


if __name__ == "__main__":
    main()
