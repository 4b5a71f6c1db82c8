# SPDX-License-Identifier: Apache-2.0
"""Writes cpio archives (format newc), as Linux unpacks them."""
import os


class Cpio:
    """A newc archive, written as it grows.  Owner 0, time 0: repeatable."""

    def __init__(self, path):
        self.file = open(path, "wb")
        self.seen = set()
        self.inode = 0

    def entry(self, name, mode, data=b"", device=(0, 0)):
        if name in self.seen:
            return
        parent = os.path.dirname(name)
        if parent:
            self.entry(parent, 0o040755)
        self.seen.add(name)
        self.inode += 1
        self.raw(name, mode, data, device)

    def raw(self, name, mode, data, device=(0, 0)):
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device,
                  len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08x" % field for field in fields)
        head += name.encode() + b"\0"
        self.file.write(head + bytes(-len(head) % 4))
        self.file.write(data + bytes(-len(data) % 4))

    def link(self, name, target):
        self.entry(name, 0o120777, target.encode())

    def close(self):
        self.inode = 0
        self.raw("TRAILER!!!", 0, b"")
        self.file.write(bytes(-self.file.tell() % 512))
        self.file.close()


def regular_files(path):
    """The files of an archive: name to bytes."""
    with open(path, "rb") as file:
        data = file.read()
    files, at = {}, 0
    while True:
        if data[at:at + 6] != b"070701":
            raise ValueError(f"{path}: no cpio header at {at}")
        fields = [int(data[at + 6 + 8 * i:at + 14 + 8 * i], 16)
                  for i in range(13)]
        mode, size, length = fields[1], fields[6], fields[11]
        name = data[at + 110:at + 110 + length - 1].decode()
        start = (at + 110 + length + 3) & ~3
        if name == "TRAILER!!!":
            return files
        if mode & 0o170000 == 0o100000:
            files[name] = data[start:start + size]
        at = (start + size + 3) & ~3
