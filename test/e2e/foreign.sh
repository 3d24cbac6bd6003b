# SPDX-License-Identifier: MIT
# Somebody changes settings of ksmd while the pacer has it run: his stay, even the one that is what
# the pacer has set, and the others are put back.
. "$SKSM_TEST_SOURCE/test/e2e.lib.sh"
need_root
need_ksm
nobody_runs "$sksm_pacer" || skip "a pacer runs already"
[ "$(cat $ksm/run)" = 0 ] || skip "ksmd runs already"
export SKSM_INTERVAL_MS=20 SKSM_AGE_MS=20 SKSM_CPU_PERCENT=100

start pacer "$sksm_pacer" --cpu-percent 100
pacer=$pid
start_holders 3 env LD_PRELOAD="$shim" "$victims/hold" --bytes 400M --seconds 300 --pidfile PIDFILE
end=$((SECONDS + 20)) state=0
until [ "$state" = 1 ]; do	# a pulse is short: no process may be started here
	[ $SECONDS -lt $end ] || fail "the pacer never ran ksmd"
	read -r state <$ksm/run
done
echo 7 >$ksm/sleep_millisecs
read -r batch <$ksm/pages_to_scan
echo "$batch" >$ksm/pages_to_scan
at_rest() {
	[ "$(cat $ksm/run)" = 0 ]
}
check "the pulse ends" wait_until 5 at_rest
check "the pacer says so" wait_until 5 grep -q 'somebody else changes the settings' pacer.err
check "what was set stays" test "$(cat $ksm/sleep_millisecs)" = 7
expected() {
	sed "s/^sleep_millisecs .*/sleep_millisecs 7/; s/^pages_to_scan .*/pages_to_scan $batch/" \
		<<<"$ksm_before"
}
only_his_changed() {
	diff <(expected) <(ksm_settings)
}
check "all else is as before" wait_until 5 only_his_changed
sleep 3
check "the pacer keeps out of the way" at_rest
kill "$pacer"
wait "$pacer" 2>/dev/null
check "they stay when the pacer ends" only_his_changed
check "no state is left" test ! -e /run/sksm/pacer.state
tell USR1 verified
end_holders
finish
