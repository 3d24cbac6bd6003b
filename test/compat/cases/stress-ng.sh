# SPDX-License-Identifier: MIT
# stress-ng with --verify: what it finds wrong, and whether each stressor did its operations.
quick=1
tracks=stress-ng
limit=3000
need_command stress-ng
version() { stress-ng --version | cut -d' ' -f1-3; }

work() {
	local name names

	names='vm mmap mremap fork vfork clone userfaultfd madvise mlock memfd seccomp sigsegv'
	[ -n "${COMPAT_QUICK:-}" ] || names="$names access af-alg aio bad-altstack bigheap brk chdir close
		cpu context daemon dekker dup dynlib env epoll eventfd exec fallocate fault fd-fork
		file-ioctl flock fp-error full futex get getdent getrandom hrtimers io-uring itimer kcmp
		kill loadavg lockbus locka madvise malloc mcontend membarrier memcpy memhotplug memrate
		mincore misaligned mlockmany mmapaddr mmapfixed mmapfork mmaphuge mmapmany mprotect mq
		msg msync munmap mutex nanosleep opcode open pageswap peterson pidfd pipe pkey poll prctl
		prefetch procfs pthread ptrace qsort radixsort rawsock resched resources revio rlimit rmap
		sem sem-sysv sendfile session set shm shm-sysv sigabrt sigchld sigfd sigfpe sigio signal
		sigpending sigpipe sigq sigrt sigsuspend sigtrap sleep sock sockpair softlockup spawn
		splice stack stackmmap stream switch sync-file sysinfo tee timer timerfd tlb-shootdown
		tmpfs tree tsc unshare urandom vdso vforkmany vm-addr vm-rw vm-segv vm-splice wait yield
		zero zlib zombie"
	for name in $names; do
		case $'\n'$(stress-ng --stressors | tr ' ' '\n')$'\n' in *$'\n'"$name"$'\n'*) ;; *) continue ;; esac
		echo "== $name"
		# mmapfork takes what memory is free, and 77 s by itself where that is 22 GiB.
		timeout 300 stress-ng "--$name" 2 "--$name-ops" "$(operations "$name")" --timeout "$(amount 15 3)" \
			$(options "$name") --verify --oomable --metrics >"$name.log" 2>&1
		echo "-> $?"
		# How much was done differs from run to run; that it was done, and what is wrong, does not.
		awk -v name="$name" '$4 == name && $5 + 0 > 0 { did = 1 } END { print did ? "did" : "did nothing" }' "$name.log"
		# Two at once say it in any order.
		grep -aE 'fail:|error:|abort|unsuccessful|skipped:|signal [0-9]|mismatch|skipping' "$name.log" |
			normalise | sort
	done
}

operations() {
	case $1 in
	fork|vfork|clone|exec|spawn|daemon|vforkmany|zombie) amount 3000 300 ;;
	vm|madvise|mmap|mremap|memfd|userfaultfd|mlock) amount 20000 500 ;;
	*) echo 2000 ;;
	esac
}

options() {
	case $1 in
	vm) echo --vm-bytes "$(amount 192M 64M)" --vm-method all ;;
	mmap|mremap|memfd) echo "--$1-bytes" 32M ;;
	esac
}

normalise() { sed -E 's/^stress-ng: (fail|error|info|warn|debug): +\[[0-9]+\] /stress-ng: \1: /; s/0x[0-9a-f]+/ADDRESS/g; s/pid [0-9]+|PID [0-9]+|\[[0-9]+\]/PID/g; s/[0-9]+\.[0-9]+s/TIME/g'; }
