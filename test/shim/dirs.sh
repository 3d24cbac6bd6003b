# SPDX-License-Identifier: MIT
# A directory that cannot be used: the program runs as if nothing were preloaded.
. "$SKSM_TEST_SOURCE/test/lib.sh"
side_by_side=1
export SKSM_INTERVAL_MS=3 SKSM_AGE_MS=0
hold=("$victims/hold" --bytes 4M --seconds 0.3 --write-half)
: >file
mkdir -m 777 writable
mkdir real
ln -s real link
SKSM_DIR=/proc/nowhere/sksm compare read_only "${hold[@]}"
SKSM_DIR=$T/missing/parent/sksm compare missing_parent "${hold[@]}"
SKSM_DIR=$T/file compare a_file "${hold[@]}"
SKSM_DIR=$T/link compare a_link "${hold[@]}"
check "a link is not followed" test -z "$(ls real)"
SKSM_DIR=$T/writable compare others_write "${hold[@]}"
check "a directory that others may write to is not used" test -z "$(ls writable)"
SKSM_REPORT=/nowhere/report.json compare report_nowhere "${hold[@]}"
SKSM_DIR=$T/missing/parent/sksm SKSM_REPORT=stderr compare report_stderr "${hold[@]}"
check "at most a few lines" test "$(cat ./*.err | wc -l)" -lt 20

if [ "$(id -u)" = 0 ]; then
	mkdir -m 700 foreign small ro
	chown 65534 foreign
	SKSM_DIR=$T/foreign compare others_own "${hold[@]}"
	check "another user's directory is not used" test -z "$(ls foreign)"
	compare no_proc unshare -m bash -c 'umount -l /proc && exec "$@"' - "${hold[@]}"
	for inodes in 2 3 4 5; do
		SKSM_DIR=$T/small compare "full$inodes" unshare -m bash -c \
			'mount -t tmpfs -o mode=700,nr_inodes='$inodes' none "$SKSM_DIR" && exec "$@"' - \
			"${hold[@]}"
	done
	for size in 4k 8k 16k 64k; do
		SKSM_DIR=$T/small compare "full$size" unshare -m bash -c \
			'mount -t tmpfs -o mode=700,size='$size' none "$SKSM_DIR" && exec "$@"' - \
			"${hold[@]}"
	done
	SKSM_DIR=$T/ro compare mounted_ro unshare -m bash -c \
		'mount -t tmpfs -o mode=700,ro none "$SKSM_DIR" && exec "$@"' - "${hold[@]}"
fi

# Where each write goes to a new block, a store into a mapped file is a SIGBUS once the disk is full.
cat >filled <<'END'
mount -o loop image "$SKSM_DIR" && chmod 700 "$SKSM_DIR" || exit 99
"$@" &
wait_for_record() {
	for ((i = 0; i < 100; i++)); do
		ls "$SKSM_DIR"/*/records/*.rec >/dev/null 2>&1 && return
		sleep 0.1
	done
}
wait_for_record
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
if [ "$(id -u)" = 0 ] && mkdir cow && truncate -s 120M image && mkfs.btrfs -q -M image 2>/dev/null &&
   mount -o loop image cow 2>/dev/null; then
	umount cow
	SKSM_DIR=$T/cow compare full_btrfs unshare -m bash filled "$victims/hold" --bytes 4M --seconds 4 \
		--write-half
	mount -o loop image cow
	SKSM_DIR=$T/cow recorded "its record went on, without being mapped" \
		'.comm == "hold" and .tracked > 0 and .passes > 3'
	umount cow
else
	echo "SKIP btrfs: it cannot be made or mounted here"
fi

# Garbage where the domain's files are.
compare normal "${hold[@]}"
recorded "it was tracked" '.comm == "hold" and .tracked > 0'
for file in "$SKSM_DIR/$SKSM_DOMAIN"/*; do
	[ -f "$file" ] || continue
	for damage in truncate garbage zero directory fifo; do
		cp -a "$SKSM_DIR" keep
		case $damage in
		truncate) truncate -s 7 "$file" ;;
		garbage) head -c "$(stat -c %s "$file")" /dev/urandom >garbage; cat garbage >"$file" ;;
		zero) head -c "$(stat -c %s "$file")" /dev/zero >zero; cat zero >"$file" ;;
		directory) rm "$file"; mkdir "$file" ;;
		fifo) rm "$file"; mkfifo -m 600 "$file" ;;
		esac
		compare "$damage-$(basename "$file")" "${hold[@]}"
		rm -rf "$SKSM_DIR"
		mv keep "$SKSM_DIR"
	done
done
finish
