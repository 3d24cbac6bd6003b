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
