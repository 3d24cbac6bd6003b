# SPDX-License-Identifier: MIT
# Pulses against files in the place of ksmd's settings, which nobody acts upon: settings that cannot
# be put back at once, and a user who makes it expensive to look at his records.

own_run=1
. "$SKSM_TEST_SOURCE/test/lib.sh"
need_root
need_ksm
mount -t tmpfs -o mode=755 none /run || skip "no mounts"

# Each value is as long as what a pulse sets: files keep what is not overwritten.
mkdir fake
for setting in run=0 pages_to_scan=1234 sleep_millisecs=7 use_zero_pages=0 smart_scan=1; do
	echo "${setting#*=}" >"fake/${setting%=*}"
done
mount --bind fake $ksm || skip "no mounts"
ksm_before=$(ksm_settings)
export SKSM_INTERVAL_MS=20 SKSM_AGE_MS=20

has() {
	[ "$(cat "$ksm/$1")" = "$2" ]
}
something_waits() {
	[ "$(json '[.processes[].offered] | add')" -gt 4000000 ]
}
# What a pulse is for, until it is killed.
start_waiting() {
	start waiting env LD_PRELOAD="$shim" \
		"$victims/hold" --bytes 8M --content repeat --seconds 100
	waiting=$pid
	wait_until 20 something_waits || fail "nothing is offered"
}
stop_waiting() {
	kill -KILL "$waiting"
	wait "$waiting" 2>/dev/null
}
all_is_back() {
	ksm_as_before && [ ! -e /run/sksm/pacer.state ]
}

# It would have the lock of the machine, and merge nothing.
mount -o remount,bind,ro $ksm || skip "no mounts that can be read only"
timeout 10 "$sksm_pacer" --once 2>readonly.err
check "settings that cannot be written: it ends" test $? = 1
check "and says so" grep -q "$ksm/run: Read-only file system" readonly.err
mount -o remount,bind,rw $ksm

start pacer "$sksm_pacer" --cpu-percent 100
pacer=$pid

start_waiting
wait_until 10 has run 1 || fail "there is no pulse"
mount -o remount,bind,ro $ksm || skip "no mounts that can be read only"
stop_waiting
check "settings that cannot be put back: it is said" \
	wait_until 5 grep -q 'Read-only file system; what to put back is in the state' pacer.err
sleep 2.5
check "it is said once" test "$(grep -c Read-only pacer.err)" = 1
check "the state is kept" test -s /run/sksm/pacer.state
# Somebody else, who can write, sets what the pulse has set.
echo 1 >fake/sleep_millisecs
mount -o remount,bind,rw $ksm
check "they are put back as soon as they can be" wait_until 10 test ! -e /run/sksm/pacer.state
check "what somebody else set meanwhile stays" has sleep_millisecs 1
echo 7 >fake/sleep_millisecs
check "all others are as before" ksm_as_before

# One of them: ksmd stands still, and what it is set to is not taken for the administrator's.
sleep 1
start_waiting
wait_until 10 has run 1 || fail "there is no second pulse"
mount --bind fake/pages_to_scan $ksm/pages_to_scan
mount -o remount,bind,ro $ksm/pages_to_scan
stop_waiting
check "one setting: ksmd is stopped" wait_until 5 has run 0
start_waiting
sleep 2
check "one setting: no pulse before it is put back" has run 0
umount $ksm/pages_to_scan
check "one setting: then there is one" wait_until 10 has run 1
stop_waiting
check "one setting: all is put back" wait_until 5 all_is_back
# A user's names of records of the dead: each look reads all of them.
cpu_ms() {
	awk -v hz="$(getconf CLK_TCK)" '{ print int(($14 + $15) * 1000 / hz) }' "/proc/$pacer/stat"
}
start_waiting
wait_until 10 has run 1 || fail "there is no third pulse"
install -d -o 60134 /run/many /run/many/sksm /run/many/sksm/default /run/many/sksm/default/records
"$python" -c 'import os
os.chdir("/run/many/sksm/default/records")
for i in range(190000):
    os.mknod(f"4194303-{i:x}.rec", 0o600)'
sleep 3
before=$(cpu_ms) begin_ns=$(date +%s%N)
sleep 8
used=$(($(cpu_ms) - before)) passed=$((($(date +%s%N) - begin_ns) / 1000000))
check "the pulse lasts" has run 1
check "looks take little of the time: $used of $passed ms" test $((used * 10)) -lt $passed
stop_waiting
kill "$pacer" && wait "$pacer"
check "the pacer ends well" test $? = 0
finish
