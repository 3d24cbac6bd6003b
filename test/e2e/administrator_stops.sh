# SPDX-License-Identifier: MIT
# An administrator's ksmd that is switched off while our programs run: the pacer, which left it
# alone until then, takes over, and leaves the settings as the administrator last had them.
. "$SKSM_TEST_SOURCE/test/e2e.lib.sh"
need_root
need_ksm

ksmd_on 1	# next to nothing is scanned, so that nearly all is left to do
start_holders 3 "$sksm_run" -- "$victims/hold" --bytes 64M --seconds 300 --pidfile PIDFILE
sleep 4
check "the pacer leaves the administrator's ksmd alone" test "$(cat $ksm/run $ksm/pages_to_scan | tr '\n' ' ')" = "1 1 "
ksm_restore
savings_grow 30 95
report_is_true
tell USR1 verified
end_holders
machine_is_as_before
finish
