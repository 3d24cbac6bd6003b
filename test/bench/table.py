# SPDX-License-Identifier: MIT
"""From runs to numbers for people: medians, ratios of pairs, targets, and the rows of a table."""
import statistics

NEVER = float("inf")
GIB = 1 << 30
PAGE = 4096


def median(values):
    """Of what is there; None where nothing is."""
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def _freed_percent(run):
    frames = run["frames"]
    if not frames["possible_bytes"]:
        return None
    return 100 * frames["saved_bytes"] / frames["possible_bytes"]


def _idle_cpu(run):
    report = run["report"]
    tracked = report["tracked"] if report else run["frames"]["anon_pages"] * PAGE
    third = run["seconds"] / 3
    return 100 * run["cpu"]["last_third_s"] / third / (tracked / GIB) if tracked else None


def _huge_ratio(run):
    before, after = run["huge_bytes"]
    return after / before if before else None


def _pairs(runs, merger, base):
    """Runs of one repetition, one after the other on the same machine, are alike but for these."""
    bases = {run["repetition"]: run for run in runs if run["merger"] == base}
    return [(run, bases[run["repetition"]]) for run in runs
            if run["merger"] == merger and run["repetition"] in bases]


def _ratio(pairs, value):
    ratios = [value(run) / value(base) for run, base in pairs
              if value(run) is not None and value(base)]
    if not ratios:
        return None
    return {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}


def _by_phase(runs, merger):
    pairs = _pairs(runs, merger, "none")
    return {phase: _ratio(pairs, lambda run: run["by_phase"].get(phase, {}).get("throughput"))
            for phase in dict.fromkeys(phase for run, _ in pairs for phase in run["by_phase"])}


def _summarize_merger(runs, merger):
    own = [run for run in runs if run["merger"] == merger]
    plain = _pairs(runs, merger, "none")
    tuned = _pairs(runs, merger, "ksm-tuned")

    def time_to(percent):
        times = [run[f"time_to_{percent}_s"] for run in own]
        late = statistics.median([NEVER if time is None else time for time in times])
        return None if late == NEVER else late

    return {
        "runs": len(own),
        "freed_percent": median(map(_freed_percent, own)),
        "saved_bytes": median(run["frames"]["saved_bytes"] for run in own),
        "possible_bytes": median(run["frames"]["possible_bytes"] for run in own),
        "time_to_90_s": time_to(90),
        "time_to_95_s": time_to(95),
        "throughput": median(run["throughput"] for run in own),
        "throughput_ratio": _ratio(plain, lambda run: run["throughput"]),
        "throughput_ratio_by_phase": _by_phase(runs, merger),
        "p99_us": median(run["p99_us"] for run in own),
        "p99_ratio": _ratio(plain, lambda run: run["p99_us"]),
        "cpu_s": median(run["cpu"]["total_s"] for run in own),
        "cpu_before_ready_s": median(run["cpu"]["before_ready_s"] for run in own),
        "cpu_ratio": _ratio(tuned, lambda run: run["cpu"]["total_s"]),
        "idle_cpu_percent_per_gib": median(map(_idle_cpu, own)),
        "huge_ratio": median(map(_huge_ratio, own)),
        "minor_faults": median(run["minor_faults"] for run in own),
        "cow_breaks": median(run["cow_breaks"] for run in own),
        "sampler_cpu_s": median(run["sampler_cpu_s"] for run in own),
    }


def summarize(runs):
    good = [run for run in runs if run["status"] == "ok"]
    return {merger: _summarize_merger(good, merger)
            for merger in dict.fromkeys(run["merger"] for run in good)}


def _middle(ratio):
    return ratio and ratio["median"]


def _worst_throughput(summary):
    phases = [_middle(ratio) for ratio in summary["throughput_ratio_by_phase"].values() if ratio]
    return min(phases, default=_middle(summary["throughput_ratio"]))


# Target: its value in a summary, whether larger is better, and what it says to people.
_TARGETS = {
    "freed": (lambda s: s["freed_percent"], True, "% freed"),
    "freed_within_s": (lambda s: s["time_to_95_s"], False, "s until 95 % freed"),
    "throughput": (_worst_throughput, True, "of the throughput"),
    "cpu": (lambda s: _middle(s["cpu_ratio"]), False, "of ksm-tuned's CPU"),
    "idle_cpu": (lambda s: s["idle_cpu_percent_per_gib"], False, "% of a core per GiB at rest"),
    "huge": (lambda s: s["huge_ratio"], True, "of the huge pages"),
}


def judge(targets, summary):
    """Each target with what SKSM has reached; met is None where nothing was measured."""
    verdicts = {}
    for name, target in targets.items():
        get, more_is_better, text = _TARGETS[name]
        value = get(summary) if summary else None
        met = None
        if value is not None:
            met = value >= target if more_is_better else value <= target
        elif name == "freed_within_s" and summary:
            met = False
        verdicts[name] = {"target": target, "value": value, "met": met,
                          "text": f"{'>=' if more_is_better else '<='} {target} {text}"}
    return verdicts


HEADER = ("family", "merger", "runs", "freed", "of MiB", "95 % after", "throughput", "p99",
          "CPU s", "CPU ratio", "COW breaks", "minor faults")


def _number(value, form="{:.4g}"):
    return "-" if value is None else form.format(value)


def _spread(ratio):
    if not ratio:
        return "-"
    if ratio["min"] == ratio["max"]:
        return f"{ratio['median']:.3g}"
    return f"{ratio['median']:.3g} ({ratio['min']:.3g} to {ratio['max']:.3g})"


def rows(name, family):
    """Throughput and p99 against none, CPU ratio against ksm-tuned."""
    for merger, summary in family["summary"].items():
        yield (name, merger, str(summary["runs"]), _number(summary["freed_percent"], "{:.1f} %"),
               _number(summary["possible_bytes"] / (1 << 20), "{:.0f}"),
               _number(summary["time_to_95_s"], "{:.1f} s"), _spread(summary["throughput_ratio"]),
               _spread(summary["p99_ratio"]), _number(summary["cpu_s"], "{:.3f}"),
               _spread(summary["cpu_ratio"]), _number(summary["cow_breaks"], "{:.0f}"),
               _number(summary["minor_faults"], "{:.0f}"))


def verdict_rows(name, family):
    words = {True: "met", False: "missed", None: "not measured"}
    for verdict in family["verdicts"].values():
        yield name, verdict["text"], _number(verdict["value"]), words[verdict["met"]]


def print_columns(header, body):
    lines = [header, *body]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
