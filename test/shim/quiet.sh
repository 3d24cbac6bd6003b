# SPDX-License-Identifier: MIT
# What we write ourselves is no reason for a signal to the program.
. "$SKSM_TEST_SOURCE/test/lib.sh"
provoke

# unread COMMAND...: its exit status with a pipe on standard error that nobody reads.
unread() {
	"$python" -c 'import os, subprocess, sys
read_end, write_end = os.pipe()
os.close(read_end)
print(subprocess.run(sys.argv[1:], stderr=write_end).returncode)' "$@"
}

preloaded=(env LD_PRELOAD="$shim")
quiet=("$victims/hold" --bytes 8M --seconds 0.3)
check "a report that nobody reads" \
	test "$(SKSM_REPORT=stderr unread "${preloaded[@]}" "${quiet[@]}" | tail -n 1)" = 0
check "a warning that nobody reads" \
	test "$(SKSM_AGE_MS=soon unread "${preloaded[@]}" "${quiet[@]}" | tail -n 1)" = 0
check "a program's own SIGPIPE still kills it" \
	test "$(unread "${preloaded[@]}" bash -c 'sleep 0.2; kill -PIPE $$')" = -13

# Files may not grow: not by a record, not by a line of the report.
limited=(bash -c 'ulimit -f "$1"; shift; exec "$@"' -)
dd if=/dev/zero of=report bs=1k count=64 status=none
cp report before
compare nothing "${limited[@]}" 0 sleep 0.3
SKSM_REPORT=$T/report compare report "${limited[@]}" 64 sleep 0.3
check "nothing is added to a file at its limit" cmp report before
SKSM_LOG=info compare said "${limited[@]}" 0 sleep 0.3
finish
