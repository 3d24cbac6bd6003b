# SPDX-License-Identifier: MIT
# Programs that count their threads, as sandboxes do, find the one that they have.
. "$SKSM_TEST_SOURCE/test/lib.sh"
provoke

ways="stat lstat fstatat pid statx __xstat opendir open openat forked forked-status"
for way in $ways; do
	start "$way-plain" "$victims/counts" "$way"
	start "$way" preload "$victims/counts" "$way" --later
done
wait "${pids[@]}"
pids=()
for way in $ways; do
	check "$way: one thread" test "$(grep -cx "$way: 1" "$way-plain.out")" = 3
	check "$way: the same with the shim" diff "$way-plain.out" "$way.out"
	able tracking || continue
	check "$way: our thread was there" grep -qx 'before: 2' "$way.err"
	check "$way: and comes back" grep -qx 'later: 1' "$way.err"
done
recorded "what counts is tracked" '.comm == "counts" and .passes > 0'
finish
