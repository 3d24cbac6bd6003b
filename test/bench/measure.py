# SPDX-License-Identifier: MIT
"""One run: a workload under a merger, from its start until nothing of it is left."""
import collections
import contextlib
import json
import os
import pathlib
import select
import shutil
import statistics
import subprocess
import tempfile
import time

import mergers
import processes

WAKE_S = 0.5
READY_S = 180
LATE_S = 60
GONE_S = 10
MARK_S = 45     # CPU time up to here is comparable between runs of other lengths
SKIPPED = 77
DOMAIN = f"bench-{os.getpid()}"


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def run(family, merger, seconds, scale, build):
    """What was measured, with "status": ok, failed or skipped (then also a "reason")."""
    with tempfile.TemporaryDirectory(prefix="sksm-bench-", ignore_cleanup_errors=True) as directory:
        # Workloads may run as other users.
        os.chmod(directory, 0o755)
        with mergers.merging(merger):
            one = _Run(family, merger, seconds, scale, build, pathlib.Path(directory))
            try:
                return one.measure()
            except Failed as error:
                return {"status": "failed", "reason": f"{error}{one.last_words()}"}
            except Skipped as error:
                return {"status": "skipped", "reason": str(error)}
            finally:
                processes.end_all()
                _remove_domain()


def _remove_domain():
    """From where it is without SKSM_DIR."""
    for place in (pathlib.Path("/run/sksm"), *pathlib.Path("/tmp").glob("sksm-*")):
        if (place / DOMAIN).is_dir():
            shutil.rmtree(place / DOMAIN)
            with contextlib.suppress(OSError):
                place.rmdir()


def find_workload(name, build):
    """Compiled ones are in the build tree, the others beside this file."""
    for room in (build / "test/bench", pathlib.Path(__file__).resolve().parent):
        path = room / "workloads" / name
        if os.access(path, os.X_OK):
            return path
    raise Failed(f"there is no workload {name}")


class _Run:
    def __init__(self, family, merger, seconds, scale, build, directory):
        self.family, self.merger, self.seconds = family, merger, seconds
        self.scale, self.build, self.directory = scale, build, directory
        self.environment = {key: value for key, value in os.environ.items()
                            if not key.startswith(("SKSM_", "LD_PRELOAD", "XDG_RUNTIME_DIR"))}
        self.environment |= family.environment
        self.environment |= {"LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1",
                             "SKSM_DOMAIN": DOMAIN}
        if not family.other_users:
            self.environment["SKSM_DIR"] = str(directory / "sksm")
        self.curve, self.phases, self.windows, self.cpu = [], [], [], []

    def last_words(self):
        log = self.directory / "stderr"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return "".join(f"\n    {line}" for line in lines[-10:])

    def measure(self):
        name, *arguments = self.family.argv
        command = [*mergers.wrapper(self.merger, self.build),
                   str(find_workload(name, self.build)), *arguments,
                   "--seconds", str(self.seconds), "--scale", str(self.scale)]
        with (open(self.directory / "stderr", "w") as log,
              processes.MergingCpu(mergers.is_ours(self.merger)) as self.clock,
              subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                               bufsize=0, cwd=self.directory, env=self.environment,
                               start_new_session=True) as self.process):
            try:
                self.events = _Events(self.process.stdout)
                result = self._load() | self._count()
                self._end()
            except BaseException:
                # Popen waits for its process on the way out.
                self.process.kill()
                raise
        return {"status": "ok"} | result

    def _load(self):
        self._wait_ready()
        pids = processes.workload_pids()
        huge = processes.anon_huge_bytes(pids)
        faults, breaks = processes.minor_faults(pids), processes.cow_breaks()
        own_cpu = time.process_time()
        self.anonymous = processes.anonymous_bytes()
        self.start = time.monotonic()
        self._sample()
        self._wait_done()
        self._sample()
        own_cpu = time.process_time() - own_cpu
        pids = processes.workload_pids()
        return {"seconds": round(self.curve[-1][0], 3), "processes": len(pids),
                "curve": _thin(self.curve), "phases": self.phases,
                **_load_numbers(self.windows), "cpu": self._cpu_numbers(),
                "sampler_cpu_s": round(own_cpu, 3),
                "minor_faults": processes.minor_faults(pids) - faults,
                "cow_breaks": processes.cow_breaks() - breaks,
                "huge_bytes": [huge, processes.anon_huge_bytes(pids)]}

    def _wait_ready(self):
        end = time.monotonic() + READY_S
        while True:
            for event in self.events.until(end):
                if event["event"] == "ready":
                    return
                raise Failed(f"'{event['event']}' before 'ready'")
            self._complain_if_ended()
            if time.monotonic() >= end:
                raise Failed(f"not ready after {READY_S} s")

    def _wait_done(self):
        late = self.start + self.seconds + LATE_S
        wake = self.start
        while True:
            wake += WAKE_S
            for event in self.events.until(wake):
                if event["event"] == "done":
                    return
                self._take(event)
            self._complain_if_ended()
            if time.monotonic() > late:
                raise Failed(f"not done {LATE_S} s after its time")
            self._sample()

    def _take(self, event):
        if event["event"] == "phase":
            self.phases.append([round(time.monotonic() - self.start, 2), event["name"]])
        elif event["event"] == "window":
            phase = self.phases[-1][1] if self.phases else None
            self.windows.append((phase, event["seconds"], event["ops"], event.get("p99_us")))

    def _complain_if_ended(self):
        if not self.events.ended:
            return
        status = self.process.wait(LATE_S)
        if status == SKIPPED:
            raise Skipped(self.last_words().strip() or "no reason given")
        raise Failed(f"ended early with exit status {status}")

    def _freed_bytes(self):
        """pages_sharing learns of merges that were undone only when ksmd comes by."""
        if self.family.steady:
            return max(0, self.anonymous - processes.anonymous_bytes())
        return processes.PAGE * (mergers.ksm_counter("pages_sharing") +
                                 mergers.ksm_counter("ksm_zero_pages"))

    def _sample(self):
        now = time.monotonic() - self.start
        self.curve.append([round(now, 2), self._freed_bytes()])
        self.cpu.append((now, self.clock.read()))

    def _cpu_numbers(self):
        """Everything counts from ready; what was used before stands by itself."""
        before, last = self.cpu[0][1], self.cpu[-1][1]
        end = self.cpu[-1][0]

        def total(at):
            seen = [sample for now, sample in self.cpu if now <= at] or [before]
            return sum(seen[-1].values()) - sum(before.values())

        numbers = {f"{part}_s": last[part] - before[part] for part in last}
        numbers |= {"total_s": total(end), "before_ready_s": sum(before.values()),
                    "last_third_s": total(end) - total(end * 2 / 3)}
        if end > MARK_S + 2 * WAKE_S:
            numbers[f"at_{MARK_S}_s"] = total(MARK_S)
        return {key: round(value, 4) for key, value in numbers.items()}

    def _count(self):
        """While the workload idles with all of its memory."""
        report = None
        if mergers.is_ours(self.merger):
            report = self._report()
        for _ in range(3):
            # A process that ends meanwhile makes the count fail.
            pids = map(str, processes.workload_pids())
            counted = subprocess.run([self.build / "test/frames", *pids], text=True,
                                     capture_output=True)
            if counted.returncode == 0:
                break
        else:
            raise Failed(f"frames: {counted.stderr.strip()}")
        frames = json.loads(counted.stdout)
        return {"frames": frames, "report": report,
                **{f"time_to_{percent}_s": _reached(self.curve, frames["possible_bytes"], percent)
                   for percent in (90, 95)}}

    def _report(self):
        told = subprocess.run([self.build / "tools/sksm-report", "--json"], text=True,
                              capture_output=True, env=self.environment)
        if told.returncode:
            raise Failed(f"sksm-report: {told.stderr.strip()}")
        report = json.loads(told.stdout)
        # With processes that ended before they were sampled.
        every_cpu_s = sum(one["cpu_ns"] for one in report["processes"]) / 1e9
        keys = ("processes", "tracked", "merged", "saved", "own", "writes_seen", "cow_breaks",
                "cpu_ns")
        return {key: report["total"][key] for key in keys} | {"every_cpu_s": every_cpu_s}

    def _end(self):
        self.process.stdin.close()
        try:
            status = self.process.wait(LATE_S)
        except subprocess.TimeoutExpired:
            raise Failed(f"does not end {LATE_S} s after end of file") from None
        if status:
            raise Failed(f"exit status {status}")
        if not processes.wait_until_gone(GONE_S):
            names = ", ".join(processes.comm(pid) for pid in processes.descendants())
            raise Failed(f"left processes behind: {names}")


class _Events:
    """The lines of JSON that a workload writes."""

    def __init__(self, pipe):
        self._fd = pipe.fileno()
        self._lines = collections.deque()
        self._rest = b""
        self.ended = False

    def until(self, end):
        """Events as they come, up to the time @end or the end of the pipe."""
        while True:
            while self._lines:
                line = self._lines.popleft()
                try:
                    yield json.loads(line)
                except ValueError:
                    raise Failed(f"no event: {line[:80]!r}") from None
            if self.ended or not self._wait(end):
                return
            data = os.read(self._fd, 65536)
            self.ended = not data
            *lines, self._rest = (self._rest + data).split(b"\n")
            self._lines.extend(lines)

    def _wait(self, end):
        seconds = end - time.monotonic()
        return seconds > 0 and select.select([self._fd], [], [], seconds)[0]


def _load_numbers(windows):
    numbers = _throughput(windows)
    phases = dict.fromkeys(phase for phase, *_ in windows if phase)
    numbers["by_phase"] = {phase: _throughput([w for w in windows if w[0] == phase])
                           for phase in phases}
    return numbers


def _throughput(windows):
    seconds = sum(window[1] for window in windows)
    latencies = [window[3] for window in windows if window[3] is not None]
    return {"throughput": sum(window[2] for window in windows) / seconds if seconds else None,
            "p99_us": statistics.median(latencies) if latencies else None}


def _thin(curve):
    """Without the inner points of flat stretches."""
    return [point for i, point in enumerate(curve) if i in (0, len(curve) - 1) or
            not curve[i - 1][1] == point[1] == curve[i + 1][1]]


def _reached(curve, possible, percent):
    return next((now for now, saved in curve if possible and saved * 100 >= possible * percent),
                None)
