# SPDX-License-Identifier: MIT
"""What /proc tells of our descendants and of ksmd, cheaply enough to be asked twice a second."""
import ctypes
import os
import re
import signal
import time

TOOLS = ("sksm-run", "sksm-pacer")
SHIM_THREAD = "sksm"
PR_SET_CHILD_SUBREAPER = 36
PAGE = os.sysconf("SC_PAGE_SIZE")


def adopt_orphans():
    """A process whose parent died stays our descendant, so that none is ever lost."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")


def _read(path):
    """The text, or nothing where the process is gone."""
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def _threads(pid):
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def descendants(pid="self"):
    found = []
    for thread in _threads(pid):
        for child in _read(f"/proc/{pid}/task/{thread}/children").split():
            found += [int(child), *descendants(child)]
    return found


def comm(pid):
    return _read(f"/proc/{pid}/comm").rstrip("\n")


def end_all():
    """Whatever is left of ours is killed and reaped. True where anything was."""
    left = False
    while pids := descendants():
        for pid in pids:
            left |= _kill(pid)
        time.sleep(0.05)
    return left


def wait_until_gone(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for pid in descendants():
            _reap(pid)
        if not descendants():
            return True
        time.sleep(0.05)
    return False


def _kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    return not _reap(pid)


def _reap(pid):
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return False


def ksmd():
    for name in os.listdir("/proc"):
        if name.isdigit() and comm(name) == "ksmd":
            return int(name)
    raise RuntimeError("there is no ksmd")


class CpuClock:
    """CPU time of one thread. When it is gone, the last value stays."""

    def __init__(self, path):
        self.ns = 0
        self.gone = False
        try:
            self._fd = os.open(path, os.O_RDONLY)
        except OSError:
            self._fd = -1

    def read(self):
        try:
            self.ns = int(os.pread(self._fd, 64, 0).split()[0])
        except (OSError, IndexError):
            self.gone = True
            self.close()
        return self.ns

    def close(self):
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class MergingCpu:
    """Seconds of CPU that merging took so far: ksmd, the pacer, and the shim's threads."""

    def __init__(self, is_sksm):
        self._is_sksm = is_sksm
        self._ksmd = CpuClock(f"/proc/{ksmd()}/schedstat")
        self._ksmd_start = self._ksmd.read()
        self._pacers = {}
        self._shims = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for clock in (self._ksmd, *self._pacers.values(), *self._shims.values()):
            clock.close()

    def read(self):
        """Only once the workload is ready: before, a process may still be about to exec."""
        if self._is_sksm:
            for pid in descendants():
                self._discover(pid)
        return {"ksmd": (self._ksmd.read() - self._ksmd_start) / 1e9,
                "shim": sum(clock.read() for clock in self._shims.values()) / 1e9,
                "pacer": sum(clock.read() for clock in self._pacers.values()) / 1e9}

    def _discover(self, pid):
        if pid in self._pacers or (pid in self._shims and not self._shims[pid].gone):
            return
        name = comm(pid)
        if name == "sksm-pacer":
            self._pacers[pid] = CpuClock(f"/proc/{pid}/schedstat")
        elif name not in TOOLS:
            self._discover_thread(pid)

    def _discover_thread(self, pid):
        for thread in _threads(pid):
            if comm(f"{pid}/task/{thread}") == SHIM_THREAD:
                clock = CpuClock(f"/proc/{pid}/task/{thread}/schedstat")
                # An exec ended the thread before: its time still counts.
                if pid in self._shims:
                    self._shims[pid, self._shims[pid].ns] = self._shims[pid]
                self._shims[pid] = clock
                return


def workload_pids():
    return [pid for pid in descendants() if comm(pid) not in TOOLS]


def minor_faults(pids):
    """With those of children that were waited for."""
    fields = [_read(f"/proc/{pid}/stat").rpartition(")")[2].split() for pid in pids]
    return sum(int(f[7]) + int(f[8]) for f in fields if f)


def anon_huge_bytes(pids):
    total = 0
    for pid in pids:
        found = re.search(r"^AnonHugePages: *(\d+) kB", _read(f"/proc/{pid}/smaps_rollup"), re.M)
        total += int(found[1]) * 1024 if found else 0
    return total


def anonymous_bytes():
    """Of the whole machine: frames, however many pages are mapped to them."""
    return int(re.search(r"^AnonPages:\s+(\d+) kB", _read("/proc/meminfo"), re.M)[1]) * 1024


def cow_breaks():
    return int(re.search(r"^cow_ksm (\d+)", _read("/proc/vmstat"), re.M)[1])
