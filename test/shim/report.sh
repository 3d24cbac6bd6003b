# SPDX-License-Identifier: MIT
# What SKSM_REPORT writes.
. "$SKSM_TEST_SOURCE/test/lib.sh"
export SKSM_INTERVAL_MS=20 SKSM_AGE_MS=40
hold=("$victims/hold" --bytes 16M --content repeat --seconds 0.8)
SKSM_REPORT=stderr compare people "${hold[@]}"
grep -E "$own_lines" people.err >lines || fail "no line on standard error"
check "one to five lines" test "$(wc -l <lines)" -le 5
check "they name the program" grep -q hold lines
SKSM_REPORT=$T/report.jsonl compare first "${hold[@]}"
SKSM_REPORT=$T/report.jsonl compare second "${hold[@]}"
check "one line is appended for each process" test "$(wc -l <report.jsonl)" = 2
! able tracking || check "each is JSON with the counters" \
	jq -e '.pid > 0 and .tracked >= 16777216 and .passes > 0' report.jsonl
check "quiet is quiet" bash -c "SKSM_REPORT=none LD_PRELOAD='$shim' ${hold[*]} 2>&1 >/dev/null </dev/null | wc -c | grep -qx 0"
finish
