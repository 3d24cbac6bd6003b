# SPDX-License-Identifier: MIT
"""metrics.py FILE [JSON]: is FILE OpenMetrics, as sksm-report writes it?

Families in one piece, HELP and TYPE before the samples, units in the names, no series twice, EOF
at the end. With the JSON of sksm-report taken at the same time: each process' counters are there
and those that stand still are equal.
"""
import json
import re
import sys

NAME = r"[a-z][a-z0-9_]*"
VALUE = r"[0-9]+(?:\.[0-9]+)?"
LABEL = re.compile(rf'({NAME})="((?:[^"\\\n]|\\["\\n])*)"(,|$)')
STILL = ("tracked", "resident", "duplicate", "merged", "saved", "cow_breaks", "sensitive_skipped")

errors = []


def complain(number, text):
    errors.append(f"line {number}: {text}")


def parse_labels(text):
    labels, at = {}, 0
    while at < len(text):
        match = LABEL.match(text, at)
        if not match or match[1] in labels:
            return None
        labels[match[1]] = re.sub(r"\\(.)", r"\1", match[2])
        at = match.end()
    return labels


def parse(lines):
    """{family: {labels: value}}"""
    families, current, described = {}, None, set()
    for number, line in enumerate(lines, 1):
        if line == "# EOF":
            if number != len(lines):
                complain(number, "something follows the end")
            return families
        if line.startswith("#"):
            match = re.fullmatch(rf"# (HELP|TYPE|UNIT) ({NAME}) (.+)", line)
            if not match:
                complain(number, f"not a comment of OpenMetrics: {line}")
                continue
            kind, name, rest = match.groups()
            if name != current:
                if name in families:
                    complain(number, f"{name} comes twice")
                current, described = name, set()
                families[name] = {}
            if kind in described or families[name]:
                complain(number, f"{kind} of {name} comes twice or late")
            described.add(kind)
            if kind == "TYPE" and rest != "gauge":
                complain(number, f"type {rest}")
            if kind == "UNIT" and not name.endswith("_" + rest):
                complain(number, f"{name} does not end with its unit {rest}")
            continue
        match = re.fullmatch(rf"({NAME})(?:\{{(.*)\}})? ({VALUE})", line)
        labels = match and parse_labels(match[2] or "")
        if not match or labels is None:
            complain(number, f"not a sample: {line}")
            continue
        if match[1] != current or not {"HELP", "TYPE"} <= described:
            complain(number, f"{match[1]} without HELP and TYPE before it")
            continue
        if re.search(r"_(bytes|seconds)$", current) and "UNIT" not in described:
            complain(number, f"{current} without its unit")
        key = tuple(sorted(labels.items()))
        if key in families[current]:
            complain(number, f"the series comes twice: {line}")
        families[current][key] = float(match[3])
    complain(len(lines), "no end")
    return families


def compare(families, report):
    running = [one for one in report["processes"] if one["state"] == "running"]
    for process in running:
        for key in STILL:
            name = f"sksm_{key}" + ("" if key == "cow_breaks" else "_bytes")
            found = [value for labels, value in families.get(name, {}).items()
                     if dict(labels)["pid"] == str(process["pid"])]
            if found != [process[key]]:
                errors.append(f"{name} of {process['pid']}: {found}, in the JSON {process[key]}")
    if not running:
        errors.append("no process runs")


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        text = file.read()
    if not text.endswith("# EOF\n"):
        errors.append("does not end with # EOF")
    families = parse(text.splitlines())
    for name in families:
        if not name.startswith("sksm_"):
            errors.append(f"{name} is not named after us")
    if len(sys.argv) > 2:
        with open(sys.argv[2], encoding="utf-8") as file:
            compare(families, json.load(file))
    print(f"{len(families)} families, {len(errors)} errors", *errors[:20], sep="\n")
    return 1 if errors or not families else 0


if __name__ == "__main__":
    sys.exit(main())
