# SPDX-License-Identifier: MIT
# Four programs with 250 MiB of equal data each under sksm-run, as root on the stock kernel.
. "$SKSM_TEST_SOURCE/test/e2e.lib.sh"
need_root
need_ksm

start_holders 4 "$sksm_run" -- "$victims/hold" --bytes 250M --seconds 100 --pidfile PIDFILE
savings_grow 30 95
report_is_true
tell USR1 verified
tell USR2 written
tell USR1 verified
report_is_true
end_holders
machine_is_as_before
recorded "four programs ended" '.comm == "hold" and .state == "killed"'
finish
