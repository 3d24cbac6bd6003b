# SPDX-License-Identifier: MIT
# Huge pages without a twin stay huge pages.
. "$SKSM_TEST_SOURCE/test/e2e.lib.sh"
need_root
need_ksm
grep -q '\[never\]' /sys/kernel/mm/transparent_hugepage/enabled && skip "huge pages are off"

huge_bytes() {
	awk '/^AnonHugePages:/ { kb += $2 } END { print kb * 1024 }' \
		$(printf '/proc/%s/smaps ' "${holders[@]}")
}

export SKSM_INTERVAL_MS=100 SKSM_AGE_MS=200 SKSM_CPU_PERCENT=100
start_holders 2 "$sksm_run" -- "$victims/hold" --bytes 128M --seconds 300 --pidfile PIDFILE --huge \
	--content unique
before=$(huge_bytes)
[ "$before" -gt $((200 << 20)) ] || skip "the kernel gave only $before bytes of huge pages"
sleep 6
check "huge pages without a twin stay" test "$(huge_bytes)" -ge "$before"
recorded "they were looked at" '.comm == "hold" and .passes > 5 and .merged < 1048576'
end_holders
machine_is_as_before
finish
