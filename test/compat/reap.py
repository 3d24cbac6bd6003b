# SPDX-License-Identifier: MIT
"""reap.py SECONDS STATUS COMMAND...: run a command, and end all that it leaves behind, wherever
that went from its parents. STATUS is a file for its exit status and the names of what was still
there two seconds after its end. Prints how many seconds it took.
"""
import ctypes
import os
import pathlib
import signal
import subprocess
import sys
import time

PR_SET_CHILD_SUBREAPER = 36
GRACE = 2.0


def children():
    """Orphans come to us; what is a zombie is reaped on the way."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                break
        except ChildProcessError:
            return []
    return [int(pid) for pid in pathlib.Path("/proc/self/task", str(os.getpid()),
                                             "children").read_text().split()]


def name_of(pid):
    try:
        return pathlib.Path("/proc", str(pid), "comm").read_text().strip()
    except OSError:
        return "gone"


def end_all(left):
    """Children of what is killed come to us in turn."""
    while left:
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
        left = children()


def wait_for(pid, end):
    """Its wait status; None where it is still there at @end. Orphans that end meanwhile are
    reaped, as init would: there are programs that wait for that."""
    while True:
        found, status = os.waitpid(-1, os.WNOHANG)
        if found == pid:
            return status
        if not found:
            left = end - time.monotonic()
            if left <= 0:
                return None
            signal.sigtimedwait({signal.SIGCHLD}, min(left, 1))


def run(limit, command):
    """The exit status in words."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    process = subprocess.Popen(command, start_new_session=True, preexec_fn=lambda:
                               signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD}))
    status = wait_for(process.pid, time.monotonic() + limit)
    if status is None:
        os.killpg(process.pid, signal.SIGTERM)
        if wait_for(process.pid, time.monotonic() + 5) is None:
            os.kill(process.pid, signal.SIGKILL)
        return f"does not end within {limit} s"
    status = os.waitstatus_to_exitcode(status)
    return f"killed by signal {-status}" if status < 0 else f"exit status {status}"


def main():
    limit, status, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    begin = time.monotonic()
    words = [run(int(limit), command)]
    print(f"{time.monotonic() - begin:.1f}")
    left = children()
    end = time.monotonic() + GRACE
    while left and time.monotonic() < end:
        time.sleep(0.05)
        left = children()
    words += sorted(f"left running: {name_of(pid)}" for pid in left)
    end_all(left)
    pathlib.Path(status).write_text("\n".join(words) + "\n")


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(f"signal {_[0]}"))
    try:
        main()
    except BaseException:
        end_all(children())
        raise
