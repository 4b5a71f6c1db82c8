# SPDX-License-Identifier: Apache-2.0
"""Boots Debian's dom0, in which a script of a test runs: for run, streams, two."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OUT = ROOT / "build/tests/system"

# WITHOUT, where stock Xen takes part: QEMU lets guests set XCR0 unseen by it, so
# that it neither saves what belongs to XSAVE nor keeps it apart from another's.
NO_XSAVE = "xsave,xsaveopt,avx,avx2,fma,f16c,rdtscp"


def boot(hv, files, words, log):
    """What dom0's console said, without the core's own lines, which come in the
    midst of dom0's.  files: by name in dom0's /test, what is in them, in bytes or
    as text; run.sh is run.  words are for scripts/boot-dom0.  The console goes to
    log, or to the terminal with SHOW=y."""
    with tempfile.TemporaryDirectory() as folder, open(log, "wb") as file:
        test = pathlib.Path(folder) / "test"
        test.mkdir()
        shared = {path.name: path.read_bytes() for path in HERE.glob("*.sh")}
        for name, content in {**shared, **files}.items():
            (test / name).write_bytes(content.encode() if isinstance(content, str) else content)
            (test / name).chmod(0o755)
        subprocess.run([sys.executable, "-B", ROOT / "image/add.py", f"{folder}/test.cpio",
                        folder, *(f"test/{path.name}" for path in test.iterdir())], check=True)
        words = {"HV": hv, "GUESTS": "y", **words, "APPEND_CPIO": f"{folder}/test.cpio"}
        if hv == "xen":  # how it lives with QEMU's faults: docs/testing.md
            words["HV_ARGS"] = "dom0_max_vcpus=1 timer_slop=2000000"
        subprocess.run([ROOT / "scripts/boot-dom0",
                        *(f"{key}={value}" for key, value in words.items())],
                       stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT,
                       stdout=None if os.environ.get("SHOW") else file, check=False)
    text = pathlib.Path(log).read_text(errors="replace").replace("\r", "")
    return re.sub(r"\((core|XEN)\) [^\n]*\n", "", text)
