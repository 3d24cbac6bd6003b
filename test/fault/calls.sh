# SPDX-License-Identifier: MIT
# Each kernel call of ours fails, once, now and then, from some time on: the program never notices.
SKSM_TEST_LIMIT=600
. "$SKSM_TEST_SOURCE/test/lib.sh"

shim=$build/shim/libsksm_preload_fault.so
log=$T/fault.log
provoke

hold=("$victims/hold" --bytes 4M --seconds 0.15 --write-half)
"${hold[@]}" >plain.out 2>plain.err || fail "hold: exit status $?"

# faulty RULE COMMAND...: output, status and standard error as in plain.*
faulty() {
	local rule=$1 status

	shift
	export SKSM_FAULT=$rule SKSM_FAULT_LOG=$log
	timeout -k 5 60 env LD_PRELOAD="$shim" "$@" </dev/null >faulty.out 2>faulty.err
	status=$?
	unset SKSM_FAULT SKSM_FAULT_LOG
	grep -q 'SKSM_FAULT' faulty.err && fail "$rule: $(cat faulty.err)"
	[ $status = 0 ] && cmp -s plain.out faulty.out &&
		diff plain.err <(grep -Ev "$own_lines" faulty.err) >/dev/null ||
		flunk "$rule: exit status $status, $(tail -n 3 faulty.err)"
}

calls="openat close read write pread pwrite ftruncate fallocate mkdirat linkat unlinkat fstat fcntl
       getrandom ioctl scan procmap_query uffd_api register mmap mprotect madvise mergeable
       wipeonfork copy_memory userfaultfd close_range futex prctl sched_setattr getrusage prlimit
       sysinfo sigprocmask"
for call in $calls; do
	before=$failures
	rm -f "$log"
	case $call in
	read|write|pread|pwrite) kinds="EIO EINTR short" ;;
	futex) kinds="EINTR EAGAIN" ;;
	*) kinds="ENOMEM EPERM" ;;
	esac
	for error in $kinds; do
		for when in 1+ 2 5+ /3; do
			rm -rf "$SKSM_DIR"
			faulty "$call:$error:$when" "${hold[@]}"
		done
	done
	if ! grep -qx "$call" "$log" 2>/dev/null; then
		flunk "$call was never called"
	elif [ "$before" = "$failures" ]; then
		pass "$call fails, and nobody notices"
	fi
done

# Several at once.
for rule in scan:EIO:/5,pread:EINTR:/7,madvise:ENOMEM:/2 copy_memory:EFAULT:/3,register:EBUSY:/2 \
	    pwrite:ENOSPC:3+,pread:short:/4; do
	rm -f "$log"
	faulty "$rule" "${hold[@]}"
	check "$rule" test -s "$log"
done

check "a part that cannot be used is named" \
	grep -q 'SKSM_FAULT: cannot be used, expected CALL:ERROR' \
	<(SKSM_FAULT=scan:EWHAT LD_PRELOAD=$shim "${hold[@]}" 2>&1)
check "the library that is installed knows nothing of it" \
	test "$(SKSM_FAULT=nonsense LD_PRELOAD=$build/shim/libsksm_preload.so "${hold[@]}" 2>&1 | grep -c SKSM_FAULT)" = 0
finish
