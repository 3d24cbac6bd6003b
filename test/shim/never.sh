# SPDX-License-Identifier: MIT
# Memory marked as nobody else's business is never mergeable, though it has twins, as the kernel's
# own flags say: beside what is merged, in one process and its neighbour.
. "$SKSM_TEST_SOURCE/test/lib.sh"
. "$SKSM_TEST_SOURCE/test/never.lib.sh"
need_ksm
need_able offers
provoke

passes_of() {
	json "[.processes[] | select(.pid == $1) | .passes] | add // 0"
}
looked_again() {
	[ "$(passes_of "$1")" -ge "$2" ]
}

modes=some
[ "$(id -u)" != 0 ] || modes="some lockall"	# RLIMIT_MEMLOCK
for mode in $modes; do
	start "$mode" env LD_PRELOAD="$shim" "$victims/never" $mode
	one=$pid
	start "$mode-twin" env LD_PRELOAD="$shim" "$victims/never" $mode
	two=$pid
	wait_until 20 said_times $mode 1 ready || fail "$mode: not ready"
	if [ $mode = some ]; then
		wait_until 20 is_offered $one || fail "nothing is offered, so that nothing is shown"
		# Long after all that can be offered is.
		wait_until 30 looked_again $one $(($(passes_of $one) + 20)) || fail "no passes"
		# 16 ranges, of which some may be one mapping, and its memfd.
		never_offered "$mode" $one 12
		never_offered "$mode, the twin" $two 12
	else
		# With the reservation gone nothing is tracked (shim/optout).
		wait_until 20 said_times $mode 4 ready
		never_offered $mode $one 1
		check "$mode: nothing at all is offered" eval "! is_offered $one"
	fi
	check "$mode: no byte is wrong" test ! -s $mode.err
	kill $one $two
done
grep -m 1 'no memfd_secret' some.out

# The same with SKSM_SENSITIVE=merge is offered: what is looked at above can be seen.
start asked env LD_PRELOAD="$shim" SKSM_SENSITIVE=merge "$victims/never" some
asked=$pid
marked_is_offered() {
	local all both rest

	read -r all both rest < <(marked $asked)
	[ "${both:-0}" -gt 3 ]
}
check "SKSM_SENSITIVE=merge: they are offered" wait_until 20 marked_is_offered
finish
