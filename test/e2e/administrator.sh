# SPDX-License-Identifier: MIT
# Plain LD_PRELOAD and an administrator's ksmd: it is used and left alone.
. "$SKSM_TEST_SOURCE/test/e2e.lib.sh"
need_root
need_ksm

ksmd_on 4000
running=$(ksm_settings)
start_holders 4 env LD_PRELOAD="$shim" "$victims/hold" --bytes 250M --seconds 300 --pidfile PIDFILE
savings_grow 30 95
report_is_true
tell USR1 verified
tell USR2 written
tell USR1 verified
check "no pacer was started" nobody_runs "$sksm_pacer"
check "sksm-run leaves the settings alone" "$sksm_run" -- sleep 2
check "ksmd runs on as it did" test "$(ksm_settings)" = "$running"
end_holders
check "ksmd runs on as it did, at the end" test "$(ksm_settings)" = "$running"
finish
