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

# claim PID: a record in which PID has 64 MiB that wait, from now on (struct sksm_record).
claim() {
	"$python" - "$honest" "$records" "$1" <<-'END'
	import os, struct, sys, time
	honest, records, pid = sys.argv[1], sys.argv[2], int(sys.argv[3])
	data = bytearray(open(honest, "rb").read())
	start, = struct.unpack_from("<Q", data, 32)
	struct.pack_into("<I", data, 16, pid)
	# Ahead of the clock: it never gets old.
	struct.pack_into("<Q", data, 48, time.clock_gettime_ns(time.CLOCK_BOOTTIME) + 10**15)
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

# Something that ksmd can look at, or it makes no scans.
start others "$python" -c 'import mmap, os, time
memory = mmap.mmap(-1, 8 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory.write(os.urandom(8 << 20))
memory.madvise(12)	# MADV_MERGEABLE
print("ready", flush=True)
time.sleep(60)'
wait_until 10 said others ready
claim "$liar"
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
end_ns=$(date +%s%N)
used_ns=$(sed -n 's/^ksmd_cpu_ns //p' /run/sksm/pacer.stats)
echo "$(pulses) pulses, ksmd $((used_ns / 1000000)) ms of $(((end_ns - begin_ns) / 1000000)) ms"
# Fruitless series are 1, 2, 4 and 8 s apart.
check "his own: seldom" test "$(pulses)" -le 12
check "his own: within the budget" test "$used_ns" -le $(((end_ns - begin_ns) / 10 + 1300000000))
check "settings as before" ksm_as_before
finish
