# SPDX-License-Identifier: MIT
# The tracker that compares digests: the same savings, without a fault; contents under a shadow.
SKSM_TEST_LIMIT=600
. "$SKSM_TEST_SOURCE/test/e2e.lib.sh"
need_root
need_ksm
export SKSM_TRACKER=digest

start_holders 4 "$sksm_run" -- "$victims/hold" --bytes 100M --seconds $((100 * slow)) --pidfile PIDFILE
savings_grow 40 95
report_is_true
recorded "which tracker it was" '.tracker == "digest" and .dormant == null and .merged > 90000000'
tell USR1 verified
tell USR2 written
tell USR1 verified
report_is_true
end_holders
machine_is_as_before

export SKSM_INTERVAL_MS=1 SKSM_AGE_MS=0 SKSM_THRESHOLD=4K SKSM_CPU_PERCENT=100
ksmd_on 4000
seed=${SKSM_TEST_STRESS_SEED:-$(date +%s)}
for i in 1 2; do
	start "content$i" env LD_PRELOAD="$shim" "$build/test/stress_content" \
		--seconds 12 --seed "$((seed + i))" --threads 4
	eval "pid$i=$pid"
done
for i in 1 2; do
	eval "pid=\$pid$i"
	wait "$pid"
	status=$?
	cat "content$i.err" "content$i.out"
	check "contents under a shadow, copy $i (seed $((seed + i)))" test $status = 0
done
recorded "pages were merged meanwhile" '.comm == "stress_content" and .offered > 0'
finish
