#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The shape limits of the house, for core/ and loader/.

Prints one `ok NAME: figure` or `not ok NAME: figure` line per limit.
usage: shape.py BUILD_DIR
"""
import json
import pathlib
import re
import subprocess
import sys

FILE_LINES = 800
FUNCTION_LINES = 100
FUNCTION_P90 = 45
HEADERS = 40
IFS_PER_KLOC = 0.5
ASSERTS_PER_KLOC = 5
CORE_LINES = 15000  # both vendors, both IOMMUs
DISPATCHER_LINES = 100


def functions(path):
    """(name, length) of each function: its braces stand in column 0."""
    lines = path.read_text().splitlines()
    start = None
    for number, line in enumerate(lines):
        if line == "{" and number:
            start = number
            head = lines[number - 1]
            for back in range(number - 1, max(number - 6, -1), -1):
                head = lines[back]
                if re.match(r"^[A-Za-z_].*\(", head):
                    break
            match = re.search(r"(\w+)\(", head)
            name = match.group(1) if match else head
        elif line == "}" and start is not None:
            yield f"{path}:{name}", number - start + 1
            start = None


def code_lines(folder):
    out = subprocess.run(["cloc", "--json", "--quiet", folder],
                         capture_output=True, text=True, check=True).stdout
    return json.loads(out)["SUM"]["code"]


def headers_of(dep_file):
    """Our own headers that one source pulls in, from its .d file."""
    text = dep_file.read_text().replace("\\\n", " ")
    rule = text.split("\n", 1)[0]
    return sum(1 for word in rule.split() if word.startswith("core/")
               and word.endswith(".h"))


def report(name, fine, figure):
    print(("ok " if fine else "not ok ") + f"shape {name}: {figure}")
    return fine


def main():
    build = pathlib.Path(sys.argv[1])
    sources = sorted(p for top in ("core", "loader")
                     for p in pathlib.Path(top).rglob("*")
                     if p.suffix in (".c", ".h", ".S"))
    every = []
    fine = True

    long_files = [(len(p.read_text().splitlines()), str(p)) for p in sources]
    worst = max(long_files)
    fine &= report("longest file", worst[0] <= FILE_LINES,
                   f"{worst[1]} has {worst[0]} lines, limit {FILE_LINES}")
    for path in sources:
        if path.suffix == ".c":
            every += [(n, name) for name, n in functions(path)]
    every.sort()
    fine &= report("longest function", every[-1][0] <= FUNCTION_LINES,
                   f"{every[-1][1]} has {every[-1][0]} lines, "
                   f"limit {FUNCTION_LINES}")
    p90 = every[len(every) * 9 // 10][0]
    fine &= report("functions' p90", p90 <= FUNCTION_P90,
                   f"{p90} lines, limit {FUNCTION_P90}")
    deps = [(headers_of(p), p.name) for p in (build / "core").rglob("*.d")]
    if not deps:
        fine &= report("headers per source", False, "build first")
    else:
        fine &= report("headers per source", max(deps)[0] <= HEADERS,
                       f"{max(deps)[1]} pulls in {max(deps)[0]}, "
                       f"limit {HEADERS}")
    core_c = [p for p in sources if p.parts[0] == "core" and p.suffix == ".c"]
    text = "\n".join(p.read_text() for p in core_c)
    klines = text.count("\n") / 1000
    ifs = len(re.findall(r"^\s*#\s*(?:if|ifdef|ifndef)\b", text, re.M))
    fine &= report("#if in sources", ifs <= IFS_PER_KLOC * klines,
                   f"{ifs} in {klines:.1f} k lines")
    asserts = len(re.findall(r"\b(?:ASSERT|_Static_assert|BUG|panic)\(", text))
    fine &= report("assertions", asserts >= ASSERTS_PER_KLOC * klines,
                   f"{asserts / klines:.1f} per 1,000 lines, "
                   f"at least {ASSERTS_PER_KLOC}")
    size = code_lines("core")
    fine &= report("size of core/", size <= CORE_LINES,
                   f"{size} lines of code, limit {CORE_LINES}")
    dispatcher = [n for name, n in functions(pathlib.Path("core/vm/exit.c"))
                  if name.endswith(":handle_exit")]
    fine &= report("exit dispatcher",
                   len(dispatcher) == 1 and dispatcher[0] <= DISPATCHER_LINES,
                   f"{dispatcher} lines, limit {DISPATCHER_LINES}")
    seam = len(pathlib.Path("core/vm/vendor.h").read_text().splitlines())
    fine &= report("vendor seam", seam <= 150, f"{seam} lines, limit 150")
    sys.exit(not fine)


main()
