# SPDX-License-Identifier: MIT
# Everything is killed while the pacer has changed the settings; the next run puts them back.
. "$SKSM_TEST_SOURCE/test/e2e.lib.sh"
need_root
need_ksm

start_holders 3 "$sksm_run" -- "$victims/hold" --bytes 250M --seconds 100 --pidfile PIDFILE
pulse() {
	[ "$(cat $ksm/run)" = 1 ]
}
end=$((SECONDS + 30))
until pulse; do
	[ $SECONDS -lt $end ] || fail "the pacer never ran ksmd"
	sleep 0.01
done
pacer=$(running "$sksm_pacer")
[ -n "$pacer" ] || fail "there is no pacer"
# shellcheck disable=SC2086
kill -KILL $pacer "${pids[@]}" "${holders[@]}"
wait_until 10 all_gone
wait "${pids[@]}" 2>/dev/null
pids=()
ksm_as_before && fail "the settings were not left behind: this test shows nothing"
pass "SIGKILL leaves the settings behind: $(cat $ksm/run)"
recorded "the killed programs" '.comm == "hold" and .state == "killed" and .tracked > 200000000'
check "the next run" "$sksm_run" -- sleep 1
machine_is_as_before

# The same, repaired by the command for it.
echo 1 >$ksm/run
ksm_restore
"$sksm_run" -- "$victims/hold" --bytes 64M --seconds 3 >/dev/null || fail "hold"
check "--restore with nothing to repair" "$sksm_pacer" --restore
machine_is_as_before
finish
