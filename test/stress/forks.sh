# SPDX-License-Identifier: MIT
# Ten thousand children of threads that fork while others map and unmap: none hangs.
SKSM_TEST_LIMIT=600
. "$SKSM_TEST_SOURCE/test/lib.sh"
provoke
count=${SKSM_TEST_STRESS_FORKS:-10000}
start forks env LD_PRELOAD="$shim" "$build/test/stress_forks" "$count"
wait "$pid"
check "the program ends well ($(cat forks.err))" test $? = 0
check "all children were waited for" said forks "$count children"
recorded "there was a thread of ours" '.comm == "stress_forks" and .passes > 10'
check "children that live have records of their own" \
	test "$(json '[.processes[] | select(.comm == "stress_forks")] | length')" -gt 1
finish
