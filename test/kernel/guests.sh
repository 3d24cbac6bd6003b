# SPDX-License-Identifier: MIT
# Virtual machines inside the emulated one (test/kernel/run --guests): their memory is merged by
# MADV_MERGE under plain LD_PRELOAD, with neither ksmd nor pacer. QEMU asks for huge pages, most of
# which would be kept (docs/policy.md).
. "$SKSM_TEST_SOURCE/test/e2e.lib.sh"
. "$SKSM_TEST_SOURCE/test/guests.lib.sh"
need_command qemu-system-x86_64
here=/sksm/guests
[ -e $here/image.cpio ] || skip "no image for the guests"
names=(guest1 guest2 guest3)
begin=$SECONDS
for i in 1 2 3; do
	start guest$i env SKSM_HUGEPAGES=split LD_PRELOAD="$shim" qemu-system-x86_64 -nodefaults -no-user-config \
		-display none -accel tcg,tb-size=64 -cpu max -m 64M -kernel $here/vmlinuz \
		-initrd $here/image.cpio -append \
		"console=ttyS0 panic=-1 loglevel=1 rdinit=/init seed=$i" -serial "file:guest$i.console"
	holders+=("$pid")
done
all_right_or_one_gone() {
	local one

	for one in "${pids[@]}"; do
		! gone "$one" || return 0
	done
	rights 1 "${names[@]}"
}
wait_until 240 all_right_or_one_gone
rights 1 "${names[@]}" ||
	fail "a guest does not start: $(tail -n 3 guest?.console guest?.err)"
pass "booted after $((SECONDS - begin)) s"
echo "result: three guests are up after $((SECONDS - begin)) s"
begin=$SECONDS
savings_grow 120 95
echo "result: freed $((SECONDS - begin)) s later: $("$frames" "${holders[@]}" | tr -d '\n')"
report_is_true
check "by MADV_MERGE" jq -e '[.processes[].engine] == ["sksm", "sksm", "sksm"]' report.json
check "ksmd did not run" test "$(cat $ksm/run)" = 0
go_on "${names[@]}"
kill "${pids[@]}"
for pid in "${pids[@]}"; do
	wait "$pid"
	check "exit status" test $? = 0
done
pids=()
# QEMU says what ended it.
check "nothing else on standard error" \
	test -z "$(grep -hv 'terminating on signal 15 from pid' guest?.err)"
finish
