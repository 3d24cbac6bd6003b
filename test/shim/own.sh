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
finish
