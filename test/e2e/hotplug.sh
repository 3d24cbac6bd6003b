# SPDX-License-Identifier: MIT
# Memory is taken offline while the pacer has ksmd run. The kernel shows that as another value of
# "run", which nobody wrote: the pacer puts back what it found, as ever.
. "$SKSM_TEST_SOURCE/test/e2e.lib.sh"
need_root
need_ksm
nobody_runs "$sksm_pacer" || skip "a pacer runs already"
[ "$(cat $ksm/run)" = 0 ] || skip "ksmd runs already"
# Most blocks hold something that cannot be moved.
find_block() {
	local block

	for block in $(grep -lx online /sys/devices/system/memory/memory*/state 2>/dev/null | sort -Vr); do
		{ echo offline >"$block"; } 2>/dev/null || continue
		echo online >"$block"
		echo "$block"
		return
	done
	return 1
}
block=$(find_block) || skip "this machine has no memory that can be taken offline"
export SKSM_INTERVAL_MS=20 SKSM_AGE_MS=20 SKSM_CPU_PERCENT=100

start hotplug bash -c 'trap "echo online >$0; exit" TERM
	while :; do echo offline >"$0"; echo online >"$0"; done 2>/dev/null' "$block"
hotplug=$pid
start pacer "$sksm_pacer" --cpu-percent 100
pacer=$pid
start_holders 3 env LD_PRELOAD="$shim" "$victims/hold" --bytes 400M --seconds 300 --pidfile PIDFILE
end=$((SECONDS + 30)) state=0 ran=
until [ "$state" = 5 ] || [ $SECONDS -ge $end ]; do
	read -r state <$ksm/run
	[ "$state" = 0 ] || ran=1
done
[ -n "$ran" ] || fail "the pacer never ran ksmd"
[ "$state" = 5 ] || skip "no memory was being taken offline while ksmd ran"
pass "memory is taken offline while ksmd runs"
savings_grow 30 90
kill "$hotplug"
wait "$hotplug" 2>/dev/null
check "the memory is back" grep -qx online "$block"
kill "$pacer"
wait "$pacer" 2>/dev/null
check "settings as before" ksm_as_before
check "nobody else changed them" test "$(grep -c 'somebody else' pacer.err)" = 0
tell USR1 verified
end_holders
finish
