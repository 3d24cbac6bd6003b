# SPDX-License-Identifier: MIT
# Four programs with 250 MiB of equal data each under sksm-run, as root on the stock kernel.
. "$SKSM_TEST_SOURCE/test/e2e.lib.sh"
need_root
need_ksm

start_holders 4 "$sksm_run" -- "$victims/hold" --bytes 250M --seconds $((100 * slow)) --pidfile PIDFILE
savings_grow 30 95
report_is_true

# Whoever looks at merged pages leaves them merged (process_vm_readv would not).
merged_pages() {
	"$frames" "${holders[@]}" | jq .merged_pages
}
# looked_at WHAT COMMAND...: the pacer cannot make good for it so soon.
looked_at() {
	local what=$1 before after

	shift
	before=$(merged_pages)
	"$@" >looked.out || fail "$what: exit status $?: $(cat looked.out)"
	after=$(merged_pages)
	check "$what undoes no merge: $before pages, $after after it" test "$after" -ge "$before"
}
looked_at --diagnose "$sksm_report" --domain "$SKSM_DOMAIN" --diagnose
looked_at --estimate "$sksm_report" --estimate --interval 0.1 --pid "${holders[0]}" "${holders[1]}"

tell USR1 verified
tell USR2 written
tell USR1 verified
report_is_true
end_holders
machine_is_as_before
recorded "four programs ended" '.comm == "hold" and .state == "killed"'
finish
