# SPDX-License-Identifier: MIT
"""secure_heap.py MODE: a secure heap of OpenSSL's, filled with pages that are equal, and 8 MiB beside
it with the same ones. Prints "ready", and again whenever all of it was found right.

    guarded     as OpenSSL makes it, between two guard pages
    bare        without the guard pages: then it does not look like a stack
"""
import ctypes
import os
import sys
import time

CHUNK = 64 << 10
CHUNKS = 32
size = ctypes.c_size_t
pointer = ctypes.c_void_p
crypto = ctypes.CDLL("libcrypto.so.3")
crypto.CRYPTO_secure_malloc_init.argtypes = [size, size]
crypto.CRYPTO_secure_malloc.argtypes = [size, ctypes.c_char_p, ctypes.c_int]
crypto.CRYPTO_secure_malloc.restype = pointer
libc = ctypes.CDLL(None, use_errno=True)
libc.munmap.argtypes = [pointer, size]


def remove_guards(address):
    """Of the readable mapping that @address is in."""
    before = None
    for line in open("/proc/self/maps", encoding="ascii"):
        start, end = (int(number, 16) for number in line.split()[0].split("-"))
        if start <= address < end:
            assert before and before[1] == start, "no guard"
            assert libc.munmap(before[0], before[1] - before[0]) == 0
            return
        before = (start, end) if line.split()[1].startswith("---") else None
    raise LookupError(address)


# 1: with guards and locked. 2 would be: without.
if crypto.CRYPTO_secure_malloc_init(CHUNK * CHUNKS * 2, 32) != 1:
    sys.exit("no secure heap")
chunks = [crypto.CRYPTO_secure_malloc(CHUNK, None, 0) for _ in range(CHUNKS)]
assert all(chunks) and all(crypto.CRYPTO_secure_allocated(pointer(chunk)) for chunk in chunks)
if sys.argv[1] == "bare":
    remove_guards(min(chunks))
content = b"a key that others have too......" * (CHUNK // 32)
for chunk in chunks:
    ctypes.memmove(chunk, content, CHUNK)
beside = bytearray(content * ((8 << 20) // CHUNK))
while True:
    if any(ctypes.string_at(chunk, CHUNK) != content for chunk in chunks) or \
       beside != content * (len(beside) // CHUNK):
        sys.exit("WRONG BYTES")
    os.write(1, b"ready\n")
    time.sleep(0.5)
