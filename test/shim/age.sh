# SPDX-License-Identifier: MIT
# An age far below the interval, where passes are a whole turn of an 8-bit clock apart (256
# sixteenths of the age): a few passes make memory invariant, not dozens. Passes are counted, not
# seconds.
. "$SKSM_TEST_SOURCE/test/lib.sh"
need_able tracking
export SKSM_CPU_PERCENT=100 SKSM_THRESHOLD=64K SKSM_MODE=estimate
hold=("$victims/hold" --bytes 8M --content unique)
start short env SKSM_AGE_MS=62 SKSM_INTERVAL_MS=1000 LD_PRELOAD="$shim" "${hold[@]}" --seconds 901
start long env SKSM_AGE_MS=125 SKSM_INTERVAL_MS=2000 LD_PRELOAD="$shim" "${hold[@]}" --seconds 902
meets() {
	[ "$(json "[.processes[] | select(.command | test(\"seconds $1\$\")) | select($2)] | length")" = 1 ]
}
for seconds in 901 902; do
	wait_until 90 meets $seconds '.digested > 7000000 or .passes > 12' ||
		fail "12 passes take too long"
	check "digested within 12 passes ($seconds)" meets $seconds '.digested > 7000000'
done
finish
