# SPDX-License-Identifier: MIT
# Children by every kind of fork; all verify their memory and so does the parent.
. "$SKSM_TEST_SOURCE/test/lib.sh"
side_by_side=1
provoke
for how in fork thread clone; do
	compare "$how" "$victims/forker" --how $how --children 3 --depth 2 --hold-ms 600
done
recorded "parent and children were tracked" '.comm == "forker" and .tracked > 0 and .passes > 2'
! able tracking || check "more than one of them" test "$(json '[.processes[] | select(.tracked > 0)] | length')" -gt 5
for how in vfork spawn; do
	compare "$how" "$victims/forker" --how $how --children 20 --hold-ms 200
done
recorded "a parent goes on beside its vfork children" \
	'(.command | test("how vfork")) and .tracked > 30000000 and .passes > 40'
# Its children call seteuid, for which a thread of ours steps aside: not for that of another process.
if strace -o try.trace true 2>/dev/null; then
	strace -f -e trace=clone,clone3 -E LD_PRELOAD="$shim" -o vfork.trace "$victims/forker" \
		--how vfork --children 5 --hold-ms 300 >vfork.out 2>&1 </dev/null
	check "and its thread stays for what they do" \
		test "$(grep -c 'CLONE_THREAD.*) = \|resumed>.*CLONE_THREAD.*) = ' vfork.trace)" = 1
else
	echo "no strace here, or it may not trace"
fi
compare borrow "$victims/forker" --how vfork --borrow --children 5 --hold-ms 300
recorded "and where they map memory" '(.command | test("--borrow")) and .tracked > 30000000 and .passes > 5'
compare kill "$victims/forker" --how vfork --kill --children 5 --hold-ms 100
recorded "their end is not its own" '(.command | test("--kill")) and .state == "killed"'
compare bomb "$victims/forker" --how bomb --children 300 --hold-ms 100
check "short-lived children have no record" test \
	"$(json '[.processes[] | select(.command | test("how bomb"))] | length')" = 1
compare programs bash -c 'for ((i = 0; i < 20; i++)); do "$0"; done' "$(type -P true)"
check "nor have programs that are over at once" test \
	"$(json '[.processes[] | select(.comm == "true")] | length')" = 0
check "short-lived children end up as exited" test \
	"$(json '[.processes[] | select(.state == "running")] | length')" = 0
finish
