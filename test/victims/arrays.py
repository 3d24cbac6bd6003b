# SPDX-License-Identifier: MIT
"""arrays.py PIDFILE [COUNT [MIB [WORKERS]]]: numpy arrays from a seed, equal in every process.

Prints "ready"; SIGUSR1 checks them and prints "verified", SIGUSR2 rewrites half of one. With
WORKERS, that many forked children build their arrays each for itself and all do as told.
"""
import os
import signal
import sys
import time
import zlib

import numpy

count = int(sys.argv[2]) if len(sys.argv) > 2 else 4
mib = int(sys.argv[3]) if len(sys.argv) > 3 else 64
workers = int(sys.argv[4]) if len(sys.argv) > 4 else 0
children = []

for _ in range(workers):
    child = os.fork()
    if child == 0:
        children = []
        break
    children.append(child)

if children:
    with open(sys.argv[1], "w", encoding="ascii") as file:
        print(os.getpid(), *children, file=file)
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda n, _: [os.kill(c, n) for c in children])
    sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(c, 0)[1]) for c in children))

random = numpy.random.default_rng(1)
arrays = [random.integers(0, 2**63, mib * 2**17) for _ in range(count)]
digests = [zlib.crc32(array) for array in arrays]


def verify(*_):
    if [zlib.crc32(array) for array in arrays] != digests:
        print("WRONG BYTES", flush=True)
        os._exit(3)
    os.write(1, b"verified\n")


def write(*_):
    arrays[0][::1024] = os.getpid()
    digests[0] = zlib.crc32(arrays[0])
    os.write(1, b"written\n")


signal.signal(signal.SIGUSR1, verify)
signal.signal(signal.SIGUSR2, write)
if not workers:
    with open(sys.argv[1], "w", encoding="ascii") as file:
        print(os.getpid(), file=file)
os.write(1, b"ready\n")
deadline = time.monotonic() + 100
while time.monotonic() < deadline:
    time.sleep(0.1)
verify()
