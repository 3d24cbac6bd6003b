# SPDX-License-Identifier: MIT
# A member that passes rarely has given its last sign of life long ago, and is taken for alive for
# as long as it said: 30 seconds and 32 intervals. Its last sign is made older here (the layout of
# the file is in tracker/index_file.h); nobody waits that long.
. "$SKSM_TEST_SOURCE/test/lib.sh"
need_able tracking
export SKSM_AGE_MS=0 SKSM_THRESHOLD=64K SKSM_CPU_PERCENT=100 SKSM_MODE=estimate
hold=("$victims/hold" --bytes 8M --content same)
duplicates() {
	json "[.processes[] | select(.command | test(\"seconds $1\$\")) | .$2] | max // 0"
}
is_digested() {
	[ "$(duplicates "$1" digested)" -gt 8000000 ]
}
start rare env SKSM_INTERVAL_MS=1000 LD_PRELOAD="$shim" "${hold[@]}" --seconds 101
rare=$pid
wait_until 15 is_digested 101 || fail "the first one has not digested its memory"
sleep 0.2
kill -STOP "$rare"
# age PID SECONDS: of the last beat of that member.
age() {
	"$python" - "$SKSM_DIR/$SKSM_DOMAIN/members" "$1" "$2" <<'PYTHON'
import struct, sys, time
path, pid, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with open(path, "r+b") as file:
    data = file.read()
    at = next(at for at in range(64, len(data), 64) if struct.unpack_from("<I", data, at)[0] == pid)
    lease, = struct.unpack_from("<Q", data, at + 16)
    file.seek(at + 8)
    now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    file.write(struct.pack("<Q", now - seconds * 10**9))
    print("lease of", lease / 1e9, "s, last beat", seconds, "s ago")
PYTHON
}
check "its slot is there" age "$rare" 55
start second env SKSM_INTERVAL_MS=10 LD_PRELOAD="$shim" "${hold[@]}" --seconds 102
wait_until 10 is_digested 102 || fail "the second one has not digested its memory"
has_twins() {
	[ "$(duplicates "$1" duplicate)" -gt 8000000 ]
}
check "after 55 s it is still a member: its pages are twins" wait_until 5 has_twins 102
# A killed member has its lease as well.
kill -KILL "$pid"
check "the slots are there" age "$rare" 80
check "the slots are there" age "$pid" 80
start third env SKSM_INTERVAL_MS=10 LD_PRELOAD="$shim" "${hold[@]}" --seconds 103
wait_until 10 is_digested 103 || fail "the third one has not digested its memory"
sleep 0.5
# A page or two of its libraries may be the same.
check "after 80 s it is none" test "$(duplicates 103 duplicate)" -lt 65536
kill -CONT "$rare"
finish
