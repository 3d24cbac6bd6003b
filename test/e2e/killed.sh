# SPDX-License-Identifier: MIT
# Everything is killed while the pacer has changed the settings; the next run puts them back.
. "$SKSM_TEST_SOURCE/test/e2e.lib.sh"
need_root
need_ksm
[ "$(cat $ksm/run)" = 0 ] || skip "ksmd is on"

pacer_runs() {
	[ -n "$(running "$sksm_pacer")" ]
}

kill_in_pulse() {
	local end state=0 pacer

	rm -f "$T"/holder*.pid
	start_holders 3 "$sksm_run" -- "$victims/hold" --bytes 250M --seconds $((100 * slow)) --pidfile PIDFILE
	wait_until 5 pacer_runs || fail "there is no pacer"
	pacer=$(running "$sksm_pacer")
	end=$((SECONDS + 30))
	until [ "$state" = 1 ]; do	# a pulse is short: no process may be started here
		[ $SECONDS -lt $end ] || fail "the pacer never ran ksmd"
		read -r state <$ksm/run
	done
	# shellcheck disable=SC2086
	kill -KILL $pacer "${pids[@]}" "${holders[@]}"
	wait_until 10 all_gone || fail "SIGKILL does not end them"
	wait "${pids[@]}" 2>/dev/null
	pids=()
	! ksm_as_before
}

# A pulse may end in the very moment of the kill: then nothing is shown, and it is tried again.
leave_behind() {
	local i

	for ((i = 0; i < 5; i++)); do
		kill_in_pulse && { pass "SIGKILL leaves the settings behind"; return; }
	done
	fail "the settings were never left behind: this test shows nothing"
}

leave_behind
recorded "the killed programs" '.comm == "hold" and .state == "killed" and .tracked > 200000000'
check "the next run" "$sksm_run" -- sleep 1
machine_is_as_before

leave_behind
check "sksm-pacer --restore" "$sksm_pacer" --restore
check "--restore has put everything back" ksm_as_before
check "--restore with nothing to repair" "$sksm_pacer" --restore
machine_is_as_before
finish
