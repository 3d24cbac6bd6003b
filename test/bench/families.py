# SPDX-License-Identifier: MIT
"""What is measured: a family is a workload with a length, its mergers and what SKSM should reach.

Targets:
    freed           percent of what a perfect merger would free, at the end
    freed_within_s  seconds since ready until 95 percent are freed
    throughput      ratio to the run without merging; the worst phase where there are phases
    cpu             ratio of CPU time for merging to ksm-tuned
    idle_cpu        percent of a core for each tracked GiB in the last third
    huge            ratio of AnonHugePages at the end to those at ready
"""
from dataclasses import dataclass, field

MAIN = ("none", "ksm-tuned", "sksm")
# The kernel's defaults and its advisor are too slow to be a rival: one repetition shows that.
INDICATED = ("ksm-default", "ksm-advisor")


@dataclass(frozen=True)
class Family:
    name: str
    argv: tuple
    seconds: float
    quick_seconds: float | None     # None: too long for --quick
    targets: dict
    mergers: tuple = MAIN
    repetitions: int | None = None  # None: as asked on the command line
    environment: dict = field(default_factory=dict)
    steady: bool = False            # neither grows nor shrinks: what is freed shows in AnonPages
    other_users: bool = False       # each needs an SKSM_DIR of its own


def _all(*rows, **options):
    return [Family(*row, **options) for row in rows]


_LIST = [
    Family("static", ("weights",), 45, 14,
           # The data must be 2 s old before it can be known to be calm.
           {"freed": 95, "freed_within_s": 12, "throughput": 0.99, "cpu": 0.8},
           MAIN + INDICATED),
    Family("static-long", ("weights",), 300, None, {"cpu": 0.25}, ("ksm-tuned", "sksm"), 2),
    Family("prefork-calm", ("prefork", "--calm"), 45, 14,
           {"freed": 95, "throughput": 0.99, "cpu": 0.6}),
    Family("prefork-busy", ("prefork", "--busy"), 12, 6, {"throughput": 0.98, "cpu": 0.05},
           MAIN + INDICATED),
    Family("unique", ("memory", "unique"), 12, 6, {"throughput": 0.99, "cpu": 0.05},
           MAIN + INDICATED),
    Family("random", ("memory", "random"), 12, 6, {"throughput": 0.99, "cpu": 0.05}),
    Family("jvm", ("jvm",), 30, 12, {"freed": 95, "throughput": 0.99, "cpu": 0.3},
           MAIN + INDICATED),
    Family("phases", ("memory", "phases"), 60, 10, {"throughput": 0.97}, steady=True),
    Family("idle", ("memory", "idle"), 45, 12, {"idle_cpu": 0.1}, ("ksm-tuned", "sksm"),
           environment={"SKSM_INTERVAL_MS": "1000"}),
    *_all(("huge-calm", ("memory", "huge-calm"), 12, 6, {"throughput": 0.99, "huge": 1}),
          ("huge-hot", ("memory", "huge-hot"), 12, 6, {"throughput": 0.99, "huge": 1})),
    Family("postgres", ("postgres",), 15, 6, {"throughput": 0.99}, repetitions=3,
           other_users=True),
    *_all(("redis", ("redis",), 15, 6, {"throughput": 0.99}),
          ("sqlite", ("sqlite",), 30, 6, {"throughput": 0.99}),
          ("small", ("small",), 20, 6, {"throughput": 0.99}), repetitions=3),
    *_all(("guests", ("guests", "--busy"), 600, None,
           {"freed": 95, "throughput": 0.99, "cpu": 0.25}, MAIN + ("sksm-split",)),
          ("guests-paced", ("guests", "--paced"), 600, None,
           {"freed": 95, "throughput": 0.99, "cpu": 0.25}, MAIN + ("sksm-split",)), repetitions=1),
]
FAMILIES = {family.name: family for family in _LIST}
