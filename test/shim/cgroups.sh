# SPDX-License-Identifier: MIT
# Limits of control groups: our memory fits into that of the program, and where there is no room for
# one more thread, it is ours that is not there.
. "$SKSM_TEST_SOURCE/test/lib.sh"
need_root
provoke
groups=()
# make_group CONTROLLER FILE VALUE: version 1 or 2, whichever has the controller. Sets $group.
make_group() {
	local root

	for root in /sys/fs/cgroup/"$1" /sys/fs/cgroup /sys/fs/cgroup/unified; do
		group=$root/sksm-test-$$-$1
		mkdir "$group" 2>/dev/null || continue
		groups+=("$group")
		[ -e "$group/$2" ] && echo "$3" 2>/dev/null >"$group/$2" && return
	done
	return 1
}
remove_groups() {
	local one

	for one in "${groups[@]}"; do
		rmdir "$one" 2>/dev/null
	done
}
trap 'status=$?; remove_groups; (exit $status); clean_up' EXIT
inside=(bash -c 'echo $$ >"$0/cgroup.procs" && exec "$@"')

if make_group memory memory.limit_in_bytes 48M || make_group memory memory.max 48M; then
	compare memory "${inside[@]}" "$group" "$victims/hold" --bytes 32M --content same --seconds 1 \
		--write-half
	recorded "memory was tracked" '.comm == "hold" and .tracked >= 33554432 and .passes > 1'
else
	echo "no memory groups can be made here"
fi
export SKSM_DIR=$T/pids
if make_group pids pids.max 1; then
	compare pids1 "${inside[@]}" "$group" "$victims/places" threads
	check "there is no room" said pids1 "a thread: Resource temporarily unavailable"
	recorded "the record says why nothing is tracked" \
		'.comm == "places" and .dormant != null and (.dormant | test("thread"))'
	echo 3 >"$group/pids.max"
	compare pids3 "${inside[@]}" "$group" "$victims/places" threads
	check "there is room" said pids3 "a thread: Success"
	recorded "it was tracked" '.comm == "places" and .tracked >= 16777216 and .dormant == null'
else
	echo "no pids groups can be made here"
fi
[ $checks -gt 0 ] || skip "no control groups can be made here"
finish
