# SPDX-License-Identifier: MIT
# The same with transparent huge pages: kept where there is nothing to gain, split (because the
# evidence is strong: every page has a twin) where there is.
. "$SKSM_TEST_SOURCE/test/e2e.lib.sh"
need_root
need_ksm
grep -q '\[never\]' /sys/kernel/mm/transparent_hugepage/enabled && skip "huge pages are off"

start_holders 4 "$sksm_run" -- "$victims/hold" --bytes 250M --seconds 300 --pidfile PIDFILE --huge
savings_grow 30 95
report_is_true
tell USR1 verified
tell USR2 written
tell USR1 verified
end_holders
machine_is_as_before
finish
