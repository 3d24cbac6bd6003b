#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""summary.py JUNIT EXTRA: the skips' reasons, the failures' output and the count of a ctest run.

EXTRA is "passed" or "failed": the one check that test/run does itself. Exit status 1 where
anything failed.
"""
import re
import sys
import xml.etree.ElementTree as ElementTree

TAIL_LINES = 40
# What lib.sh, Criterion and assert() say of a check that fails.
COMPLAINT = re.compile(r"^(?:FAIL: |\[FAIL\]|\[----\] +\S).*$|^.*: Assertion .*$", re.MULTILINE)
COMPLAINTS = 6


def main():
    count = {"passed": 0, "failed": 0, "skipped": 0}
    count[sys.argv[2]] += 1
    try:
        cases = ElementTree.parse(sys.argv[1]).getroot().findall("testcase")
    except (OSError, ElementTree.ParseError) as error:
        print(f"FAILED ctest: no results: {error}")
        cases = []
        count["failed"] += 1
    complaints = []
    for case in cases:
        name = case.get("name")
        output = case.findtext("system-out") or ""
        if case.get("status") == "run":
            count["passed"] += 1
            continue
        skip = re.findall(r"^SKIP: (.*)$", output, re.MULTILINE)
        if case.find("skipped") is not None and skip:
            count["skipped"] += 1
            print(f"SKIPPED {name}: {skip[-1]}")
            continue
        count["failed"] += 1
        node = case.find("failure")
        why = node.get("message") if node is not None else case.get("status")
        print(f"FAILED {name}: {why}")
        for line in output.rstrip().splitlines()[-TAIL_LINES:]:
            print(f"    {line}")
        complaints += [f"{name}: {line}" for line in COMPLAINT.findall(output)[:COMPLAINTS]]
    # Once more where it is seen: at the end.
    for line in complaints:
        print(line)
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**count))
    return 1 if count["failed"] or not count["passed"] else 0


sys.exit(main())
