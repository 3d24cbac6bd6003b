# SPDX-License-Identifier: MIT
# Every way for a process to end: by itself, at once, and with its status.
. "$SKSM_TEST_SOURCE/test/lib.sh"
side_by_side=1
provoke
ulimit -c 0
ways=$("$victims/exits" list 0 4K | grep -v goodbye)
check "all ways are there" test "$(wc -l <<<"$ways")" -ge 16
for way in $ways; do
	compare "$way" "$victims/exits" "$way" 150
	# Before it is up, and where it cannot come up.
	SKSM_DIR=$T/asleep compare "asleep-$way" "$victims/exits" "$way" 0 4K
	SKSM_DIR=/dev/null/none compare "refused-$way" "$victims/exits" "$way" 1 4K
	recorded "$way" ".comm == \"exits\" and (.command | test(\" $way \")) and .tracked > 60000000"
done
recorded "and what is mapped when main's thread is gone" \
	'(.command | test(" pthread_exit-main ")) and .tracked > 120000000'
# Our thread starts only then.
compare late "$victims/exits" pthread_exit-main 0 4K
recorded "and where there was nothing before" \
	'(.command | test(" pthread_exit-main 0 4K")) and .tracked > 60000000'
json '.processes[] | select(.comm == "exits") | "\(.state) \(.command)"' | sed "s|$victims/||" | sort -u >states
for expected in "killed exits kill" "killed exits segv" "killed exits abort" "killed exits term" \
		"exited exits return" "exited exits exit" "exited exits _exit" "exited exits quick_exit" \
		"exec exits exec" "exec exits exec-in-thread"; do
	check "state: $expected" grep -qx "$expected 150" states
done
finish
