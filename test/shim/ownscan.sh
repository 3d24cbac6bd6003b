# SPDX-License-Identifier: MIT
# A program that tracks its own writes, next to memory that we watch, misses none of them.
. "$SKSM_TEST_SOURCE/test/lib.sh"
need_able tracking
export SKSM_INTERVAL_MS=2 SKSM_AGE_MS=0 SKSM_THRESHOLD=64K SKSM_CPU_PERCENT=100 SKSM_MODE=estimate
start ownscan env LD_PRELOAD="$shim" "$victims/ownscan" "$T/enough"
# Refused ranges are tried again each 64 passes.
passed() {
	gone "$pid" || [ "$(json "[.processes[] | select(.comm == \"ownscan\") | .passes] | max")" -gt 400 ]
}
wait_until 60 passed || fail "400 passes take too long"
touch enough
wait "$pid"
status=$?
[ $status != 77 ] || skip "$(cat ownscan.out)"
check "no write was missed" test $status = 0
check "it says so" said ownscan verified
# 4 MiB of its own are not ours, what lies beside them is.
recorded "the memory next to it was tracked" '.comm == "ownscan" and .digested > 4000000'
finish
