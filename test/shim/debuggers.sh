# SPDX-License-Identifier: MIT
# A debugger starts the program, or comes later and goes again: it ends as ever, and our thread
# goes on where it was stopped.
leaves_ksmd=1
. "$SKSM_TEST_SOURCE/test/lib.sh"
need_able tracking
export SKSM_INTERVAL_MS=10 SKSM_AGE_MS=0 SKSM_THRESHOLD=64K SKSM_CPU_PERCENT=100 SKSM_MODE=estimate
command -v gdb >/dev/null || command -v strace >/dev/null || skip "neither gdb nor strace"
passes() {
	json "[.processes[] | select(.pid == $pid) | .passes] | max"
}
goes_on() {
	[ "$(passes)" -ge "$1" ]
}
# attached NAME COMMAND...: to a program that is at work. PID in an argument becomes its pid.
attached() {
	local name=$1 before

	shift
	start "$name" env LD_PRELOAD="$shim" "$victims/hold" --bytes 16M --seconds 30 --write-half
	wait_until 10 said "$name" ready || fail "$name: not ready"
	wait_until 10 goes_on 5 || fail "$name: no passes"
	timeout 20 "${@//PID/$pid}" </dev/null >"$T/$name-tool.out" 2>"$T/$name-tool.err"
	before=$(passes)
	check "$name: passes go on" wait_until 10 goes_on $((before + 20))
	kill -USR1 "$pid"
	check "$name: all bytes are right" wait_until 10 said "$name" verified
	kill "$pid"
	wait "$pid" 2>/dev/null
}
hold=("$victims/hold" --bytes 16M --seconds 1 --write-half)
if command -v gdb >/dev/null; then
	gdb -batch -nx -ex "set startup-with-shell off" -ex "set environment LD_PRELOAD $shim" \
		-ex run --args "${hold[@]}" </dev/null >gdb.out 2>gdb.err
	check "under gdb: it runs and ends as ever" test "$(grep -Ec \
		'^(ready|verified|written)$|^\[Inferior 1 .* exited normally\]$' gdb.out)" = 5
	recorded "under gdb: at work" '.comm == "hold" and .tracked >= 16777216 and .passes > 1'
	attached gdb-later gdb -batch -nx -p PID -ex "thread apply all backtrace 3"
	check "gdb-later: it saw our thread" grep -q 'Thread.*sksm\|LWP' gdb-later-tool.out
else
	echo "no gdb here"
fi
if strace -o try.trace true 2>/dev/null; then
	compare strace strace -f -o "$T/trace" "${hold[@]}"
	recorded "under strace: at work" '.comm == "hold" and .tracked >= 16777216 and .passes > 1'
	check "under strace: it saw our thread" grep -q 'clone(.*CLONE_THREAD' trace
	attached strace-later timeout 1 strace -f -o "$T/later.trace" -p PID
	check "strace-later: it saw our thread" grep -q 'PAGEMAP_SCAN\|ioctl(' later.trace
else
	echo "no strace here, or it may not trace"
fi
finish
