# SPDX-License-Identifier: MIT
# Several threads make our thread step aside at once: when the last of them is done, it is back.
. "$SKSM_TEST_SOURCE/test/lib.sh"
need_able tracking
export SKSM_INTERVAL_MS=10 SKSM_AGE_MS=0 SKSM_THRESHOLD=8M SKSM_CPU_PERCENT=100 SKSM_MODE=estimate
start holds env LD_PRELOAD="$shim" "$victims/holds" "$T/enough"
wait_until 120 said holds called || fail "the calls do not end"
passes() {
	json "[.processes[] | select(.comm == \"holds\") | .passes] | max"
}
goes_on() {
	[ "$(passes)" -ge "$1" ]
}
before=$(passes)
check "passes go on" wait_until 30 goes_on $((before + 20))
touch enough
wait "$pid"
check "it ends well" test $? = 0
check "with its bytes" said holds verified

# Nor is it back while one of them is not done.
beside=(env SKSM_DIR="$T/beside" LD_PRELOAD="$shim:$build/test/plugins/slow.so" "$victims/holds" beside)
"${beside[@]}" >beside.out
check "away as long as one needs it" said beside "threads: 2"
SKSM_DIR=$T/beside recorded "it was there before" '.comm == "holds" and .passes > 0'
finish
