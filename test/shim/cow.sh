# SPDX-License-Identifier: MIT
# Where each write goes to a new block (btrfs), a store into a mapped file is a SIGBUS on a full disk.
own_run=1
. "$SKSM_TEST_SOURCE/test/lib.sh"
need_root
need_command mkfs.btrfs
export SKSM_INTERVAL_MS=3 SKSM_AGE_MS=0 SKSM_DIR=$T/cow
mkdir cow
truncate -s 120M image
mkfs.btrfs -q -M image >mkfs.out 2>&1 || fail "no btrfs can be made"
mount -o loop image cow || skip "no btrfs, or no loop device"
chmod 700 cow

cat >filled <<'END'
"$@" &
for ((i = 0; i < 100; i++)); do
	ls "$SKSM_DIR"/*/records/*.rec >/dev/null 2>&1 && break
	sleep 0.1
done
for size in 64M 32M 16M 8M 4M 2M 1M 512K 64K 4K; do
	while fallocate -l $size "$SKSM_DIR/fill.$((++fills))" 2>/dev/null; do :; done
done
sync -f "$SKSM_DIR"
cat /dev/zero >>"$SKSM_DIR/fill.1" 2>/dev/null
sync -f "$SKSM_DIR"
wait $!
status=$?
rm -f "$SKSM_DIR"/fill.*
exit $status
END
compare full bash filled "$victims/hold" --bytes 4M --seconds 4 --write-half
recorded "its record went on, without being mapped" \
	'.comm == "hold" and .tracked > 0 and .passes > 3'
# While it lives its record is all that tells: no file is mapped.
start live env LD_PRELOAD="$shim" "$victims/hold" --bytes 4M --seconds 30
has_passed() {
	"$sksm_report" --json | jq -e --argjson pid "$pid" \
		'any(.processes[]; .pid == $pid and .state == "running" and .passes > 3)' >/dev/null
}
check "it is said to run" wait_until 10 has_passed
check "and not to be without a record" jq -e '.unrecorded == []' <("$sksm_report" --json)
"$sksm_report" --prune >prune.out 2>&1
check "its record is not removed" has_passed
kill "$pid"
wait "$pid" 2>/dev/null
umount cow
finish
