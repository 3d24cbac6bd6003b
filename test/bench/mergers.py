# SPDX-License-Identifier: MIT
"""The rivals: how each starts a workload, and what it sets in the kernel while it runs."""
import contextlib
import fcntl
import os
import pathlib
import time

KSM = pathlib.Path("/sys/kernel/mm/ksm")
LOCK = "/run/sksm-test.lock"
PACER_STATE = pathlib.Path("/run/sksm/pacer.state")

# run is last: ksmd must not start with half of the settings. An advisor resets pages_to_scan when
# it is switched and refuses writes to it while it is on.
NUMBERS = ("pages_to_scan", "sleep_millisecs", "use_zero_pages", "smart_scan")
NAMES = NUMBERS + ("advisor_mode", "run")
DEFAULTS = {"pages_to_scan": "100", "sleep_millisecs": "20", "use_zero_pages": "0",
            "smart_scan": "1", "advisor_mode": "none", "run": "0"}
# The pacer of sksm-run needs a ksmd that stands still.
SETTINGS = {
    "none": {},
    "sksm": {},
    "sksm-split": {},       # what a host of virtual machines would choose
    "ksm-default": {"run": "1"},
    "ksm-tuned": {"run": "1", "pages_to_scan": "4000", "use_zero_pages": "1"},
    "ksm-advisor": {"run": "1", "advisor_mode": "scan-time", "use_zero_pages": "1"},
}
MERGERS = tuple(SETTINGS)


def is_ours(merger):
    return merger.startswith("sksm")


def wrapper(merger, build):
    if is_ours(merger):
        split = ["env", "SKSM_HUGEPAGES=split"] if merger == "sksm-split" else []
        return [*split, str(build / "tools/sksm-run"), "--"]
    if merger == "none":
        return []
    return [str(build / "test/bench/mergeany")]


def ksm_counter(name):
    return int((KSM / name).read_text())


def _value(name):
    value = (KSM / name).read_text().strip()
    return value.partition("[")[2].partition("]")[0] or value


def _write(name, value):
    if _value(name) != value:
        (KSM / name).write_text(value)


def _set(settings):
    _write("run", "0")
    _write("advisor_mode", "none")
    for name in NAMES:
        _write(name, settings[name])


def _settings_at_rest():
    """What is found while somebody's pacer pulses is not what it will put back."""
    for _ in range(600):
        if not PACER_STATE.exists():
            settings = {name: _value(name) for name in NAMES}
            if not PACER_STATE.exists():
                return settings
        time.sleep(0.1)
    raise RuntimeError(f"{PACER_STATE} does not go away: sksm-pacer --restore")


@contextlib.contextmanager
def machine():
    """ksmd belongs to the whole machine: hold it, and put everything back in the end."""
    with open(LOCK, "w") as lock:
        if os.environ.get("SKSM_TEST_LOCKED") != "1":
            fcntl.flock(lock, fcntl.LOCK_EX)
        before = _settings_at_rest()
        try:
            yield
        finally:
            _set(before)


@contextlib.contextmanager
def merging(merger):
    """ksmd as this merger has it; its trees are empty before and after."""
    try:
        _set(DEFAULTS)
        _forget()
        _set(DEFAULTS | SETTINGS[merger])
        yield
    finally:
        _set(DEFAULTS)
        _forget()


def _forget():
    # Dead processes stay in ksmd's trees until it comes by, which it does not where it stands.
    (KSM / "run").write_text("2")
    (KSM / "run").write_text("0")
    end = time.monotonic() + 10
    while ksm_counter("pages_shared") and time.monotonic() < end:
        time.sleep(0.1)
