# SPDX-License-Identifier: MIT
# What a program has for itself: its children, its priority, its soft-dirty bits.
. "$SKSM_TEST_SOURCE/test/lib.sh"
provoke
at_work() {
	recorded "$1 was at work" "(.command | test(\"own $1\$\")) and .tracked >= 8388608 and .passes > 1"
}
compare wait "$victims/own" wait
at_work wait
# Below a filter somebody has to try our calls, and may be killed for it.
export SKSM_DIR=$T/filter
compare wait-filter "$victims/deny" ENOSYS kcmp "$victims/own" wait
at_work wait
for call in userfaultfd geteuid; do
	compare wait-$call "$victims/deny" KILL $call "$victims/own" wait
done
for run in wait wait-filter wait-userfaultfd; do
	check "$run: nobody is a child" test "$(grep -c ': No child processes$' $run.out)" = 15
done
export SKSM_DIR=$T/sksm
if chrt -f 1 true 2>/dev/null; then
	compare realtime "$victims/own" realtime
	at_work realtime
	check "one thread is real-time" said realtime "real-time threads: 1"
else
	echo "no real-time priority here"
fi

compare softdirty "$victims/own" softdirty
cat softdirty.out
at_work softdirty

able tracking || { echo "no thread of ours with $SKSM_TEST_FAULT"; finish; }
# Ours gives way, and is soon gone all the same where a call waits for its end.
start idle env LD_PRELOAD="$shim" "$victims/hold" --bytes 16M --seconds 60
find_ours() {
	ours=$(grep -lx sksm /proc/"$pid"/task/*/comm) && ours=${ours%/comm}
}
wait_until 10 find_ours || fail "hold has no thread of ours"
nice_of() {
	sed 's/.*) //' "$1/stat" | cut -d' ' -f17
}
# Not further: it takes the mmap lock.
check "5 below the program" wait_until 5 \
	eval '[ "$(nice_of "$ours")" = "$(($(nice_of "/proc/$pid") + 5))" ]'
if [ "$(printf '6.12\n%s\n' "$(uname -r)" | sort -V | head -n 1)" = 6.12 ] && [ -r "$ours/sched" ]; then
	check "in the shortest slices" grep -Eq '^se.slice *: *100000$' "$ours/sched"
else
	echo "slices cannot be chosen, or not be seen, here"
fi
kill "$pid"

# Who is about to wait for its end lends it a priority: for a hold, exec and exit.
if [ "$(id -u)" = 0 ] && strace -o try.trace true 2>/dev/null; then
	# lent WHAT COMMAND...: it was given to another thread than one's own.
	lent() {
		local what=$1

		shift
		strace -f -e trace=setpriority,execve -E LD_PRELOAD="$shim" -o lent.trace "$@" \
			>lent.out 2>&1 </dev/null
		check "$what: it has our priority then" \
			grep -Eq 'setpriority\(PRIO_PROCESS, [1-9][0-9]*, 0\) += 0' lent.trace
	}
	lent exit "$victims/hold" --bytes 16M --seconds 1
	lent hold "$victims/ids" setresuid 500
	lent exec "$python" -c 'import mmap, os, time
memory = mmap.mmap(-1, 16 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory.write(bytes([1]) * (16 << 20))
time.sleep(1)
os.execv("/bin/true", ["true"])'
else
	echo "nobody to lend a priority to, or to see it, here"
fi
finish
