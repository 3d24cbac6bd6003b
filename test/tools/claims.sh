# SPDX-License-Identifier: MIT
# A user's records say what is not so: memory that waits, of a process of his own, of somebody
# else's, of one that is gone. The pacer has ksmd run for the first alone, seldom and within its
# budget.

own_run=1
. "$SKSM_TEST_SOURCE/test/lib.sh"
need_root
need_ksm
need_command setpriv
[ "$(cat $ksm/run)" = 0 ] || skip "ksmd runs already"
mount -t tmpfs -o mode=755 none /run || skip "no mounts"

install -d -o 60134 /run/liar
cp "$shim" lib.so
cp "$victims/hold" .
chmod 755 lib.so
start liar setpriv --reuid 60134 --regid 60134 --clear-groups -- env LD_PRELOAD="$T/lib.so" \
	SKSM_DIR=/run/liar/sksm SKSM_INTERVAL_MS=20 SKSM_ENGINE=none "$T/hold" --bytes 8M --seconds 60
liar=$pid
records=/run/liar/sksm/$SKSM_DOMAIN/records
has_record() {
	[ -s "$(echo $records/*.rec)" ]
}
wait_until 10 has_record || fail "no record"
wait_until 10 said liar ready
sleep 0.2
kill -STOP "$liar"
honest=$(echo $records/*.rec)

# claim PID [AHEAD]: a record in which PID has 64 MiB that wait, as of now, or of so many seconds from
# now (struct sksm_record). START: what is added to the time when it began.
claim() {
	"$python" - "$honest" "$records" "$1" "${2:-0}" "${START:-0}" <<-'END'
	import os, struct, sys, time
	honest, records, pid = sys.argv[1], sys.argv[2], int(sys.argv[3])
	data = bytearray(open(honest, "rb").read())
	start = struct.unpack_from("<Q", data, 32)[0] + int(sys.argv[5])
	struct.pack_into("<I", data, 16, pid)
	struct.pack_into("<Q", data, 32, start)
	updated_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + int(sys.argv[4]) * 10**9
	struct.pack_into("<Q", data, 48, updated_ns)
	counters = 736
	for index, value in ((8, 64 << 20), (9, 0), (18, 64 << 20)):	# offered, merged, pending
	    struct.pack_into("<Q", data, counters + 8 * index, value)
	path = f"{records}/{pid}-{start:x}.rec"
	with open(path, "r+b" if os.path.exists(path) else "wb") as file:
	    file.write(data)
	os.chown(path, 60134, 60134)
	os.chmod(path, 0o600)
	END
}
pulses() {
	sed -n 's/^pulses //p' /run/sksm/pacer.stats 2>/dev/null || echo 0
}
for whose in "another user's $$" "a dead one's 4194302"; do
	pid=${whose##* }
	claim "$pid"
	check "${whose% *}: nothing waits" timeout 10 "$sksm_pacer" --once
	check "${whose% *}: ksmd was not run" test "$(pulses)" = 0
	(unset SKSM_DIR; "$sksm_report" --json --domain "$SKSM_DOMAIN") >report.json
	check "${whose% *}: the report does not take it for that process" jq -e \
		".processes | any(.pid == $pid) and all(.pid != $pid or .state != \"running\")" \
		report.json
done

# A record that is newer than somebody else's, of the same process.
install -d /run/victim
start victim env LD_PRELOAD="$shim" SKSM_DIR=/run/victim/sksm "$victims/hold" --bytes 8M --seconds 60
victim=$pid
lives() {
	(unset SKSM_DIR; "$sksm_report" --json --domain "$SKSM_DOMAIN" --pid "$victim") >victim.json
	jq -c '.processes[] | [.uid, .state]' victim.json | grep -qx '\[0,"running"\]'
}
check "a process of root's" wait_until 10 lives
START=1000000000000 claim "$victim" 2000
"$python" - "$(echo "$records/$victim"-*.rec)" "$(echo "/run/victim/sksm/$SKSM_DOMAIN/records/$victim"-*.rec)" <<-'END'
	import sys
	with open(sys.argv[1], "r+b") as forged, open(sys.argv[2], "rb") as real:
	    real.seek(20)
	    parent = real.read(4)
	    forged.seek(20)
	    forged.write(parent)
	    # One without a history, which would have to be younger than it.
	    forged.seek(8)
	    forged.write(bytes((1, 0, 0, 0)))
END
check "another user's newer record does not end it" lives
check "and it is there" jq -e '.processes | length == 2' victim.json
rm "$records/$victim"-*.rec
kill -KILL "$victim"

# For the terminal of whoever reports.
touch "$records/$(printf '12-\033[2J.rec')" "$records/$(printf 'a\nsksm-report: all is well')"
chown 60134 "$records"/*
(unset SKSM_DIR; "$sksm_report" --domain "$SKSM_DOMAIN") >terminal.out 2>terminal.err
check "names of files are said" test "$(grep -c skipped terminal.err)" -ge 2
check "as what they are" eval "! grep -q '$(printf '\033')\|^sksm-report: all is well' terminal.err"
rm "$records"/12-* "$records"/a*

# Something that ksmd can look at, or it makes no scans.
start others "$python" -c 'import mmap, os, time
memory = mmap.mmap(-1, 8 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory.write(os.urandom(8 << 20))
memory.madvise(12)	# MADV_MERGEABLE
print("ready", flush=True)
time.sleep(60)'
wait_until 10 said others ready
# It never gets old.
claim "$liar" 1000000
check "his own, of a time to come: comes to an end" timeout 30 "$sksm_pacer" --once
rm /run/sksm/pacer.stats
touch claims
(while [ -e claims ]; do
	claim "$liar"
	sleep 0.2
done) &
claimer=$!
begin_ns=$(date +%s%N)
start pacer "$sksm_pacer" --cpu-percent 10
pacer=$pid
was_run() {
	[ "$(pulses)" -ge 1 ]
}
check "his own: ksmd is run" wait_until 10 was_run
sleep 4
kill "$pacer"
wait "$pacer"
rm claims
wait "$claimer"
end_ns=$(date +%s%N)
used_ns=$(sed -n 's/^ksmd_cpu_ns //p' /run/sksm/pacer.stats)
echo "$(pulses) pulses, ksmd $((used_ns / 1000000)) ms of $(((end_ns - begin_ns) / 1000000)) ms"
# Fruitless series are 1, 2, 4 and 8 s apart.
check "his own: seldom" test "$(pulses)" -le 12
check "his own: within the budget" test "$used_ns" -le $(((end_ns - begin_ns) / 10 + 1300000000))
check "settings as before" ksm_as_before
finish
