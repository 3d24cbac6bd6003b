# SPDX-License-Identifier: MIT
# Each kernel call of ours fails, once, now and then, from some time on: the program never notices.
SKSM_TEST_LIMIT=600
. "$SKSM_TEST_SOURCE/test/lib.sh"

shim=$build/shim/libsksm_preload_fault.so
log=$T/fault.log
provoke

hold=("$victims/hold" --bytes 4M --seconds 0.15 --write-half)
"${hold[@]}" >plain.out 2>plain.err || fail "hold: exit status $?"

# faulty RULE: output, status and standard error of hold as in plain.*; else it is said in
# RULE.wrong. In a directory of its own, so that several can run at once: they sleep most of the time.
faulty() {
	local name=${1//\//every-} status

	SKSM_FAULT=$1 SKSM_FAULT_LOG=$log SKSM_DIR=$T/$name.dir timeout -k 5 60 \
		env LD_PRELOAD="$shim" "${hold[@]}" </dev/null >"$name.out" 2>"$name.err"
	status=$?
	[ $status = 0 ] && cmp -s plain.out "$name.out" && ! grep -q SKSM_FAULT "$name.err" &&
		diff plain.err <(grep -Ev "$own_lines" "$name.err") >/dev/null ||
		echo "$1: exit status $status, $(tail -n 3 "$name.err")" >"$name.wrong"
	rm -rf "$name.dir" "$name.out" "$name.err"
}

# all_faulty RULE...: flunks with what went wrong
all_faulty() {
	local rule running=()

	for rule; do
		faulty "$rule" &
		running+=($!)
		[ ${#running[@]} -lt 4 ] || { wait "${running[@]}"; running=(); }
	done
	wait "${running[@]}"
	for rule in *.wrong; do
		[ ! -e "$rule" ] || flunk "$(cat "$rule"; rm "$rule")"
	done
}

calls="openat close read write pread pwrite ftruncate fallocate fstatfs mkdirat linkat unlinkat fstat fcntl
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
	rules=()
	for error in $kinds; do
		for when in 1+ 2 5+ /3; do
			rules+=("$call:$error:$when")
		done
	done
	all_faulty "${rules[@]}"
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
	all_faulty "$rule"
	check "$rule" test -s "$log"
done

check "a part that cannot be used is named" \
	grep -q 'SKSM_FAULT: cannot be used, expected CALL:ERROR' \
	<(SKSM_FAULT=scan:EWHAT LD_PRELOAD=$shim "${hold[@]}" 2>&1)
check "the library that is installed knows nothing of it" \
	test "$(SKSM_FAULT=nonsense LD_PRELOAD=$build/shim/libsksm_preload.so "${hold[@]}" 2>&1 | grep -c SKSM_FAULT)" = 0
finish
