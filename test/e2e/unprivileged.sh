# SPDX-License-Identifier: MIT
# ksmd off and no root: nothing is merged, the report says how much is a duplicate and what to do.
. "$SKSM_TEST_SOURCE/test/e2e.lib.sh"
need_root
need_ksm
need_command setpriv
[ "$(cat $ksm/run)" = 0 ] || skip "ksmd is on"

# The checkout may be where nobody cannot look.
mkdir "$T/bin" "$T/lib" "$T/nobody"
cp "$shim" "$T/lib"
cp "$victims/hold" "$sksm_run" "$sksm_report" "$sksm_pacer" "$T/bin"
chown 65534:65534 "$T/nobody"
export SKSM_DIR=$T/nobody/sksm
nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups --)

for name in holder1 holder2; do
	: >"$T/$name.pid"
	chown 65534 "$T/$name.pid"
done
start_holders 2 "${nobody[@]}" env LD_PRELOAD="$T/lib/libsksm_preload.so" SKSM_INTERVAL_MS=200 \
	"$T/bin/hold" --bytes 64M --seconds $((60 * slow)) --pidfile PIDFILE

duplicates_are_known() {
	[ "$("${nobody[@]}" "$T/bin/sksm-report" --json --domain "$SKSM_DOMAIN" | jq .total.duplicate)" -ge $((120 << 20)) ]
}
wait_until 20 duplicates_are_known || fail "the duplicates are not in the report"
pass "the report tells the duplicates"
"${nobody[@]}" "$T/bin/sksm-report" >table.out 2>&1
check "the report for people says what to do" grep -Eq 'sksm-(run|pacer)|mm/ksm/run' table.out
"${nobody[@]}" "$T/bin/sksm-report" --json --domain "$SKSM_DOMAIN" >report.json
check "nothing is merged" jq -e '.total.merged == 0 and .total.saved == 0' report.json
check "the kernel agrees" test "$(count_frames | jq .merged_pages)" = 0
"${nobody[@]}" "$T/bin/sksm-report" --check >check.out 2>&1 && fail "--check says merging can happen"
check "--check says what to do" grep -Eq 'sksm-(run|pacer)|mm/ksm/run' check.out
tell USR1 verified
end_holders

# sksm-run without root starts no pacer, and the command runs.
check "sksm-run without root" test "$("${nobody[@]}" "$T/bin/sksm-run" -- echo hello 2>run.err)" = hello
check "ksm settings as before" ksm_as_before
finish
