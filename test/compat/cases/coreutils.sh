# SPDX-License-Identifier: MIT
# coreutils and their like: sort with memory and threads, checksums, splits, tar, xz, awk, find.
quick=1
tracks='sort|xz|tsort|shuf|tac|factor'
need_command sort xz tar awk find dd split
version() { sort --version | head -n 1; }

work() {
	local n

	n=$(amount 1500000 300000)
	seq 1 "$n" | awk '{ print ($1 * 7919) % 1000003, $1 }' >numbers
	step sort sort -S 64M --parallel=4 -n numbers -o sorted
	step checked sort -n -c sorted
	cksum sorted
	step sorted_on_disk bash -c 'sort -S 1M -T . -k2,2nr numbers | cksum'
	step shuffled bash -c 'shuf --random-source=/dev/zero numbers | md5sum'
	step reversed bash -c 'tac sorted | sha256sum'
	step unique bash -c 'cut -d" " -f1 sorted | uniq -c | sort -rn -s -k1,1 | head -n 3'
	step joined bash -c 'join <(sort -k1,1 numbers | head -n 5000) <(sort -k1,1 numbers) | cksum'
	step split split -n l/7 --filter='cksum' numbers
	step dd bash -c 'dd if=numbers bs=64k count=40 iflag=fullblock status=none | b2sum'
	step sparse truncate -s 64M hole
	step copied bash -c 'cp --sparse=always hole hole2 && cmp hole hole2 && du -k hole2'
	step tar tar -cf all.tar numbers sorted hole
	step listed bash -c 'tar -tvf all.tar --full-time | cut -c1-30'
	step xz xz -T4 -2 -k sorted
	step unxz bash -c 'xz -dc sorted.xz | cmp - sorted'
	step gzip bash -c 'gzip -c sorted | gunzip | cmp - sorted'
	step factor factor 1000000016000000063 18446744073709551557
	step wc wc numbers sorted
	step od bash -c 'od -A d -t x2 sorted | tail -n 2'
	step find find . -name 's*' -size +1k
	exits 124 timeout timeout 0.3 sleep 20
	step env env -i /usr/bin/printenv
	step nproc bash -c '[ "$(nproc)" = "$(getconf _NPROCESSORS_ONLN)" ]'
	step stdbuf bash -c 'stdbuf -oL seq 3 | tail -n 1'
	exits 1 error cat no-such-file
	step pipe bash -c 'yes | head -n 100000 | cksum; echo "${PIPESTATUS[@]}"'
}

normalise() { sed -E 's/[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:.]+/TIME/'; }
