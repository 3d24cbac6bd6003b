# SPDX-License-Identifier: MIT
#
# Several processes with equal contents: started, merged, counted by test/frames, written, ended.
# shellcheck shell=bash
. "$SKSM_TEST_SOURCE/test/lib.sh"

have_pidfiles() {
	local name

	for name; do
		[ -s "$T/$name.pid" ] || return 1
	done
}

# start_holders COUNT COMMAND...: PIDFILE in an argument becomes the file that the command writes
# its pids to. Sets $names and $holders (pids of the programs themselves). Waits $ready_seconds.
start_holders() {
	local count=$1 i

	shift
	names=()
	for ((i = 1; i <= count; i++)); do
		names+=("holder$i")
		start "holder$i" "${@//PIDFILE/$T/holder$i.pid}"
	done
	wait_until "${ready_seconds:-40}" have_pidfiles "${names[@]}" || fail "the programs are not ready"
	# shellcheck disable=SC2207
	holders=($(for i in "${names[@]}"; do cat "$T/$i.pid"; done))
}

count_frames() {
	"$frames" "${holders[@]}" || fail "frames"
}

# savings_grow SECONDS PERCENT: of what a perfect merger would free.
savings_grow() {
	local begin=$SECONDS

	if ! wait_until "$1" "$frames" --min-saved-percent "$2" "${holders[@]}"; then
		"$frames" "${holders[@]}"
		json '.total' | tr -d '\n'
		json '.processes[]' | jq -c 'del(.command)'
		ksm_settings | tr '\n' ' '
		fail "less than $2 % of what is possible is freed after $(($1 * slow)) s: $("$frames" "${holders[@]}")"
	fi
	pass "$2 % freed after about $((SECONDS - begin)) s: $("$frames" "${holders[@]}")"
}

# The kernel's count and ours, which is published once a pass.
saved_agrees() {
	local truth ours

	truth=$("$frames" "${holders[@]}" | jq .saved_bytes)
	ours=$(json .total.saved)
	echo "saved: $ours in the report, $truth counted"
	within 3 "$ours" "$truth"
}

report_is_true() {
	wait_until 15 saved_agrees || { saved_agrees; json .total; fail "the report's saved is not true"; }
	pass "the report's saved is true: $(saved_agrees)"
}

# tell SIGNAL ANSWER: every program answers it once more.
tell() {
	local name before=()

	for name in "${names[@]}"; do
		before+=("$(grep -cx "$2" "$T/$name.out")")
	done
	for name in "${names[@]}"; do
		kill "-$1" $(awk '{ print $1 }' "$T/$name.pid")
	done
	for name in "${names[@]}"; do
		wait_until 30 said_times "$name" $((before[0] + 1)) "$2" ||
			fail "$name did not answer '$2' to $1"
	done
	pass "all answer '$2'"
}

# End them as a user would, and see that the machine is as it was.
end_holders() {
	local name

	kill "${pids[@]}" 2>/dev/null
	wait_until 10 all_gone || fail "the programs do not end"
	wait "${pids[@]}" 2>/dev/null
	pids=()
}

all_gone() {
	local one

	for one in "${holders[@]}" "${pids[@]}"; do
		gone "$one" || return 1
	done
}

machine_is_as_before() {
	wait_until 15 ksm_as_before || fail "ksm settings: $(diff <(echo "$ksm_before") <(ksm_settings))"
	pass "ksm settings as before"
	wait_until 15 nobody_runs "$sksm_pacer" || fail "a pacer is left"
	pass "no pacer is left"
}
