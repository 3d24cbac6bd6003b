# SPDX-License-Identifier: MIT
# The distribution's own python with numpy arrays.
. "$SKSM_TEST_SOURCE/test/e2e.lib.sh"
need_root
need_ksm
$python -c 'import numpy' 2>/dev/null || skip "needs numpy of $python"

start_holders 4 "$sksm_run" -- $python "$source_dir/test/victims/arrays.py" PIDFILE 4 64
savings_grow 30 95
report_is_true
tell USR1 verified
tell USR2 written
tell USR1 verified
end_holders
machine_is_as_before
finish
