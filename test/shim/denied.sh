# SPDX-License-Identifier: MIT
# Each kernel call that the shim needs fails: the program runs as it would, the record says why
# nothing was tracked (where a record can be written at all).
. "$SKSM_TEST_SOURCE/test/lib.sh"
side_by_side=1
provoke
hold=("$victims/hold" --bytes 8M --seconds 0.2 --write-half)
for call in userfaultfd madvise ioctl process_vm_readv pread64 ftruncate mkdirat unshare \
	    close_range memfd_create getrandom sched_setscheduler sched_setattr prctl gettid \
	    clock_nanosleep pwrite64 flock fstatfs linkat renameat2 rt_sigprocmask set_robust_list rseq \
	    kcmp getdents64 membarrier; do
	for error in ENOSYS EPERM; do
		rm -rf "$SKSM_DIR"
		compare "$call-$error" "$victims/deny" $error $call "${hold[@]}"
		if [ $call-$error = userfaultfd-EPERM ]; then
			SKSM_TRACKER=wp compare wp-$error "$victims/deny" $error $call "${hold[@]}"
			recorded "dormant, with the reason" \
				'.dormant != null and (.dormant | test("userfaultfd"; "i"))'
		fi
	done
done
# A filter alone is what every container has: it must not keep us from working.
rm -rf "$SKSM_DIR"
compare filter "$victims/deny" ENOSYS kcmp "${hold[@]}"
recorded "tracked below a filter" '.comm == "hold" and .tracked > 8000000 and .passes > 3'
for error in EAGAIN EPERM; do
	compare "clone-$error" "$victims/deny" $error clone,clone3 "${hold[@]}"
done
compare madvise-ENOMEM "$victims/deny" ENOMEM madvise "${hold[@]}"
compare ioctl-ENOMEM "$victims/deny" ENOMEM ioctl "${hold[@]}"
finish
