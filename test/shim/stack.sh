# SPDX-License-Identifier: MIT
# Stacks grow as they do, keep their bytes, and are never offered.
. "$SKSM_TEST_SOURCE/test/lib.sh"
side_by_side=1
provoke
at_work() {
	recorded "$1: the stack was not watched, other memory was" \
		"(.command | test(\"stack $2\$\")) and .tracked >= 16777216 and .tracked < 40000000 and .passes > 1"
}
[ "$(ulimit -Hs)" = unlimited ] || skip "the stack cannot be made larger"
for mode in main alloca; do
	for limit in 131072 unlimited; do
		export SKSM_DIR=$T/$mode-$limit
		compare $mode-$limit bash -c 'ulimit -s '$limit'; exec "$@"' - "$victims/stack" $mode
		at_work $mode-$limit $mode
	done
done
export SKSM_DIR=$T/sksm
compare thread "$victims/stack" thread
at_work thread thread
# Woken by a signal handler that has little room; the record tells that it was.
export SKSM_DIR=$T/first
check "coming up on a small stack" test "$(SKSM_THRESHOLD=1M LD_PRELOAD=$shim "$victims/altstack" --first)" = ok
recorded "it came up" '.comm == "altstack"'
export SKSM_DIR=$T/sksm
check "no stack is mergeable" test "$(cat main-*.out alloca-*.out thread.out |
	grep -c 'the stack is mergeable: none')" = 14
compare growsdown "$victims/stack" growsdown
recorded "growsdown was at work" '(.command | test("growsdown$")) and .tracked > 0 and .passes > 1'
finish
