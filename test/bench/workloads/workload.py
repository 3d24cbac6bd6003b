# SPDX-License-Identifier: MIT
"""What the Python workloads share: the lines for test/bench/run, workers, and their end."""
import argparse
import contextlib
import ctypes
import json
import os
import pickle
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

WINDOW = 0.5
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None)


class Wrong(Exception):
    """A byte is not what it was written as."""


def parse(description, modes=()):
    """The arguments; those named in modes are flags of which one must be given."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seconds", type=positive, default=10)
    parser.add_argument("--scale", type=positive, default=1)
    if modes:
        group = parser.add_mutually_exclusive_group(required=True)
        for mode in modes:
            group.add_argument("--" + mode, action="store_true")
    return parser.parse_args()


def positive(text):
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError("not a positive number: " + text)
    return value


def skip(missing):
    print("needs", missing, file=sys.stderr)
    sys.exit(77)


def need_program(name):
    return shutil.which(name) or skip(name)


def emit(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def percentile(values, percent):
    if not values:
        return None
    return sorted(values)[len(values) * percent // 100]


def emit_window(seconds, ops, latencies):
    p99 = percentile(latencies, 99)
    emit("window", seconds=round(seconds, 4), ops=ops,
         p99_us=None if p99 is None else round(p99 * 1e6, 3))


def load(seconds, operate, tick=None):
    """Until seconds are over: operate() returns latencies of operations; tick() every 0.1 s."""
    opened = ticked = time.monotonic()
    end = opened + seconds
    latencies = []
    now = opened
    while now < end:
        latencies += operate()
        if tick and now >= ticked:
            tick()
            ticked = now + 0.1
        now = time.monotonic()
        if now - opened >= WINDOW:
            emit_window(now - opened, len(latencies), latencies)
            opened, latencies = now, []
    if latencies:
        emit_window(now - opened, len(latencies), latencies)


def timed(operation):
    begin = time.perf_counter()
    operation()
    return time.perf_counter() - begin


def finish():
    """All memory stays as it is until test/bench/run has counted it."""
    emit("done")
    sys.stdin.buffer.read()


def run(body):
    """body(stack): what the stack holds is undone whatever ends this process."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        with contextlib.ExitStack() as stack:
            body(stack)
    except Wrong as wrong:
        sys.exit(f"wrong byte: {wrong}")


def temporary(stack):
    return stack.enter_context(tempfile.TemporaryDirectory(prefix="sksm-bench-"))


def end_with_parent(number=signal.SIGKILL):
    libc.prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def start(stack, command, number=signal.SIGKILL, **options):
    """A program that this process starts and ends; nothing of it reaches standard output."""
    options.setdefault("stdin", subprocess.DEVNULL)
    options.setdefault("stdout", sys.stderr)
    process = subprocess.Popen(command, preexec_fn=lambda: end_with_parent(number), **options)
    stack.callback(process.wait)
    stack.callback(process.send_signal, number)
    return process


def wait_until(seconds, condition, process):
    end = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None:
            sys.exit(f"{process.args[0]} ended: {process.returncode}")
        if time.monotonic() > end:
            sys.exit(f"{process.args[0]} is not ready")
        time.sleep(0.02)


class Channel:
    """Messages over a socket pair: any Python object, one at a time."""

    def __init__(self, end):
        self.end = end

    def send(self, message):
        data = pickle.dumps(message)
        self.end.sendall(struct.pack("I", len(data)) + data)

    def receive(self):
        return pickle.loads(self._read(struct.unpack("I", self._read(4))[0]))

    def _read(self, size):
        data = self.end.recv(size, socket.MSG_WAITALL)
        if len(data) != size:
            sys.exit("the other end is gone")
        return data


class Worker(Channel):
    """A process of ours that answers messages until it is to verify what it holds."""

    def __init__(self, stack, begin):
        """begin(end of a socket pair): starts the process and returns its pid."""
        ours, theirs = socket.socketpair()
        super().__init__(ours)
        self.pid = begin(theirs)
        theirs.close()
        stack.callback(self._end)

    @classmethod
    def forked(cls, stack, body, *arguments):
        def begin(end):
            pid = os.fork()
            if pid == 0:
                end_with_parent()
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                serve(Channel(end), body, *arguments)
            return pid
        return cls(stack, begin)

    @classmethod
    def executed(cls, stack, *arguments):
        """This script once more, with --worker DESCRIPTOR ARGUMENT..."""
        def begin(end):
            command = [sys.executable, "-B", sys.argv[0], "--worker", str(end.fileno())]
            return subprocess.Popen([*command, *map(str, arguments)], stdin=subprocess.DEVNULL,
                                    stdout=sys.stderr, pass_fds=[end.fileno()],
                                    preexec_fn=end_with_parent).pid
        return cls(stack, begin)

    def ask(self, message):
        self.send(message)
        return self.receive()

    def verify(self):
        wrong = self.ask("verify")
        if wrong:
            raise Wrong(f"process {self.pid}: {wrong}")

    def _end(self):
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


def verify(workers):
    """All at once."""
    for worker in workers:
        worker.send("verify")
    wrong = [answer for answer in [worker.receive() for worker in workers] if answer]
    if wrong:
        raise Wrong(wrong[0])


def executed_worker(body):
    """In a script that was started by Worker.executed."""
    end_with_parent()
    end = socket.socket(fileno=int(sys.argv[2]))
    serve(Channel(end), body, *sys.argv[3:])


def serve(channel, body, *arguments):
    """body(channel, arguments) builds what is needed, returns answer(message), which also knows
    "verify": it returns what is wrong, or None."""
    status = 1
    try:
        answer = body(*arguments)
        channel.send("ready")
        while True:
            channel.send(answer(channel.receive()))
    except SystemExit:
        pass
    except BaseException as error:
        print("a worker fails:", repr(error), file=sys.stderr)
    finally:
        os._exit(status)
