# SPDX-License-Identifier: MIT
# A kernel with MADV_MERGE: four equal pythons of an unprivileged user under the bare preload are
# merged by themselves, with ksmd off and nobody's help, within the age and two passes from where the
# memory of the last of them is armed. Passes are counted, not seconds: each process is stopped in
# the last one that it has.
. "$SKSM_TEST_SOURCE/test/e2e.lib.sh"
need_root
need_ksm
need_command setpriv
# Asked of the kernel itself; 2 is MAP_PRIVATE.
$python -c 'import mmap; mmap.mmap(-1, 4096, flags=2 | mmap.MAP_ANONYMOUS).madvise(26)' 2>/dev/null ||
	skip "this kernel has no MADV_MERGE"
[ "$(cat $ksm/run)" = 0 ] || skip "ksmd is on"

# An age of two intervals and more, so that it ends before the third pass after the first.
interval_ms=4000
age_passes=2
mkdir "$T/bin" "$T/lib" "$T/nobody"
cp "$shim" "$T/lib"
cp "$source_dir/test/victims/plain.py" "$T/bin"
chown 65534:65534 "$T/nobody"
export SKSM_DIR=$T/nobody/sksm
full_scans=$(cat $ksm/full_scans)
for i in 1 2 3 4; do
	: >"$T/holder$i.pid"
	chown 65534 "$T/holder$i.pid"
done
# The guest is emulated: things take their time, and the budget of 5 % would be one of 0.3 %.
ready_seconds=200
start_holders 4 setpriv --reuid 65534 --regid 65534 --clear-groups -- \
	env LD_PRELOAD="$T/lib/libsksm_preload.so" SKSM_INTERVAL_MS=$interval_ms SKSM_AGE_MS=6000 \
	SKSM_CPU_PERCENT=100 $python "$T/bin/plain.py" PIDFILE 16

# PID, passes, bytes that are armed, merged bytes and engine of each.
look() {
	json '.processes[] | select(.state == "running") |
	      "\(.pid) \(.passes) \(.armed) \(.merged) \(.engine)"'
}
all_are_armed() {
	[ "$(look | awk '$3 >= 16777216' | wc -l)" = 4 ]
}
wait_until 100 all_are_armed || { look; fail "the memory is not found calm"; }
declare -A last
while read -r pid passes _; do
	last[$pid]=$((passes + age_passes + 2))
done < <(look)
look

left=${holders[*]}
end=$((SECONDS + 120))
while [ -n "$left" ] && [ $SECONDS -lt $end ]; do
	while read -r pid passes _; do
		case " $left " in *" $pid "*) ;; *) continue ;; esac
		[ "$passes" -ge "${last[$pid]}" ] || continue
		kill -STOP "$pid"
		left=$(echo " $left " | sed "s/ $pid / /; s/^ *//; s/ *$//")
	done < <(look)
	sleep 0.1
done
[ -z "$left" ] || fail "the passes do not come"
look
while read -r pid passes _ merged engine; do
	check "$pid: stopped in the last pass that counts" test "$passes" = "${last[$pid]}"
	check "$pid: the engine is the advice" test "$engine" = sksm
done < <(look)
savings_grow 0 95
kill -CONT "${holders[@]}"
report_is_true
tell USR1 verified
tell USR2 written
tell USR1 verified
check "ksmd has not scanned" test "$(cat $ksm/full_scans)" = "$full_scans"
end_holders
machine_is_as_before
finish
