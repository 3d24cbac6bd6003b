# SPDX-License-Identifier: MIT
# A python that forks its workers before they build the same arrays, each for itself.
. "$SKSM_TEST_SOURCE/test/e2e.lib.sh"
need_root
need_ksm
$python -c 'import numpy' 2>/dev/null || skip "needs numpy of $python"

start_holders 1 "$sksm_run" -- $python "$source_dir/test/victims/arrays.py" PIDFILE 1 64 4
wait_until 30 said_times holder1 4 ready || fail "the workers are not ready"
check "a parent and four workers" test ${#holders[@]} = 5
savings_grow 30 90
report_is_true
kill -USR1 "${holders[0]}"
wait_until 20 said_times holder1 4 verified || fail "the workers do not answer"
pass "all workers verified"
kill -USR2 "${holders[0]}"
wait_until 20 said_times holder1 4 written || fail "the workers do not answer"
kill -USR1 "${holders[0]}"
wait_until 20 said_times holder1 8 verified || fail "the workers do not answer"
pass "all workers verified after writing"
kill "${holders[@]}"
wait_until 10 all_gone || fail "the workers do not end"
pids=()
machine_is_as_before
finish
