# SPDX-License-Identifier: MIT
"""plain.py PIDFILE [MIB]: byte arrays from a seed, equal in every process; no module but python's.

Prints "ready"; SIGUSR1 checks them and prints "verified", SIGUSR2 rewrites every other one of them
and prints "written".
"""
import os
import random
import signal
import sys
import time
import zlib

mib = int(sys.argv[2]) if len(sys.argv) > 2 else 16
pieces = [bytearray(random.Random(i).randbytes(1 << 20)) for i in range(mib)]
sums = [zlib.crc32(piece) for piece in pieces]


def verify(*_):
    if [zlib.crc32(piece) for piece in pieces] != sums:
        print("WRONG BYTES", flush=True)
        os._exit(3)
    os.write(1, b"verified\n")


def write(*_):
    own = os.getpid().to_bytes(4, "little")
    for i in range(0, mib, 2):
        for at in range(0, 1 << 20, 4096):
            pieces[i][at:at + 4] = own
        sums[i] = zlib.crc32(pieces[i])
    os.write(1, b"written\n")


signal.signal(signal.SIGUSR1, verify)
signal.signal(signal.SIGUSR2, write)
with open(sys.argv[1], "w", encoding="ascii") as file:
    print(os.getpid(), file=file)
os.write(1, b"ready\n")
deadline = time.monotonic() + 600
while time.monotonic() < deadline:
    time.sleep(0.1)
verify()
