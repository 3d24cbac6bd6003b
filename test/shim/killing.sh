# SPDX-License-Identifier: MIT
# exec under a filter that kills for what we call, and the program does not: it is left alone.
. "$SKSM_TEST_SOURCE/test/lib.sh"
export SKSM_INTERVAL_MS=3 SKSM_AGE_MS=0 SKSM_THRESHOLD=64K SKSM_CPU_PERCENT=100
calls=(userfaultfd process_vm_readv geteuid getrusage madvise close_range wait4)
all=$(IFS=,; echo "${calls[*]}")
for call in "${calls[@]}" "$all"; do
	compare "$call" "$victims/deny" KILL "$call" "$victims/hold" --bytes 8M --seconds 0.2 \
		--write-half
	check "$call: the program lives" said "$call" ready
done
# A handler of the program's own: a call of ours is not its business.
compare trapped "$victims/deny" TRAP userfaultfd "$victims/signals" trapped
check "trapped: its handler was not called" said trapped "SIGSYS: 0"
check "the filter kills" grep -q . <(
	{ "$victims/deny" KILL geteuid id || echo killed; } 2>/dev/null | grep -x killed)
finish
