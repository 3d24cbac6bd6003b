# SPDX-License-Identifier: MIT
# Each byte against a shadow, while other copies of the program have the same contents.
SKSM_TEST_LIMIT=$((${SKSM_TEST_STRESS_SECONDS:-100} * 3 + 240))
. "$SKSM_TEST_SOURCE/test/lib.sh"
seconds=${SKSM_TEST_STRESS_SECONDS:-100}
seed=${SKSM_TEST_STRESS_SEED:-$(date +%s)}
export SKSM_INTERVAL_MS=1 SKSM_AGE_MS=0 SKSM_THRESHOLD=4K SKSM_CPU_PERCENT=100
need_root
ksmd_on 4000

for i in 1 2; do
	start "content$i" env LD_PRELOAD="$shim" "$build/test/stress_content" \
		--seconds "$seconds" --seed "$((seed + i))" --threads 4
	eval "pid$i=$pid"
done
merged=0
end=$((SECONDS + seconds))
while [ $SECONDS -lt $end ]; do
	sleep 2
	now=$(json "[.processes[] | select(.comm == \"stress_content\") | .merged] | max")
	[ "${now:-0}" -le "$merged" ] || merged=$now
done
for i in 1 2; do
	eval "pid=\$pid$i"
	wait "$pid"
	status=$?
	cat "content$i.err" "content$i.out"
	check "copy $i ends well (seed $((seed + i)))" test $status = 0
	check "copy $i has had children, pinned and moved" \
		grep -Eq '^[1-9][0-9]* pages verified, [1-9][0-9]* children, .* [1-9][0-9]* moved$' "content$i.out"
done
check "pages were merged meanwhile ($merged bytes at once)" test "$merged" -gt 100000
recorded "merges were undone by writes" '.comm == "stress_content" and .cow_breaks > 0'
finish
