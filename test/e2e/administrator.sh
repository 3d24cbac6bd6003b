# SPDX-License-Identifier: MIT
# Plain LD_PRELOAD and an administrator's ksmd: it is used and left alone.
. "$SKSM_TEST_SOURCE/test/e2e.lib.sh"
need_root
need_ksm

ksmd_on 4000
running=$(ksm_settings)
start_holders 4 env LD_PRELOAD="$shim" "$victims/hold" --bytes 250M --seconds 300 --pidfile PIDFILE
savings_grow 30 95
report_is_true
tell USR1 verified
tell USR2 written
tell USR1 verified
check "no pacer was started" nobody_runs "$sksm_pacer"
check "sksm-run leaves the settings alone" "$sksm_run" -- sleep 2
check "ksmd runs on as it did" test "$(ksm_settings)" = "$running"
# However slow his is, what waits for it is no reason for a pulse.
echo 10000 >$ksm/sleep_millisecs
echo 1 >$ksm/pages_to_scan
slow_one=$(ksm_settings)
# shellcheck disable=SC2016
start waiting "$sksm_run" -- sh -c '"$1" --bytes 32M --seed 5 --seconds 60 &
	exec "$1" --bytes 32M --seed 5 --seconds 60' - "$victims/hold"
memory_waits() {
	[ "$(json .total.pending)" -gt 1000000 ]
}
check "memory waits" wait_until 30 memory_waits
others=
for _ in {1..30}; do
	now=$(ksm_settings)
	[ "$now" = "$slow_one" ] || others=$now
	sleep 0.1
done
check "his ksmd is as slow as he likes" test -z "$others" || echo "$others"
kill $(pgrep -f "^$victims/hold --bytes 32M")
wait "$pid" 2>/dev/null
echo 20 >$ksm/sleep_millisecs
echo 4000 >$ksm/pages_to_scan
end_holders
check "ksmd runs on as it did, at the end" test "$(ksm_settings)" = "$running"
finish
