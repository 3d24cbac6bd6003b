# SPDX-License-Identifier: MIT
# worker.py DIR: hold memory that others hold too; whenever DIR/ask changes, check it and say so.
import hashlib, os, random, sys, time

there = sys.argv[1]
ask = os.path.join(there, "ask")
random.seed(1)
data = [random.randbytes(1 << 20) for _ in range(48)]
digests = [hashlib.sha256(block).digest() for block in data]
asked = None
while True:
    now = open(ask).read().strip() if os.path.exists(ask) else None
    if now != asked:
        asked = now
        good = all(hashlib.sha256(block).digest() == digest
                   for block, digest in zip(data, digests))
        with open(f"{there}/answer.{os.getpid()}", "w") as answer:
            answer.write(f"{asked} {'good' if good else 'WRONG'}\n")
    time.sleep(0.2)
