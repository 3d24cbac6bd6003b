# SPDX-License-Identifier: MIT
# Children by every kind of fork; all verify their memory and so does the parent.
. "$SKSM_TEST_SOURCE/test/lib.sh"
provoke
for how in fork thread clone; do
	compare "$how" "$victims/forker" --how $how --children 3 --depth 2 --hold-ms 600
done
recorded "parent and children were tracked" '.comm == "forker" and .tracked > 0 and .passes > 2'
check "more than one of them" test "$(json '[.processes[] | select(.tracked > 0)] | length')" -gt 5
for how in vfork spawn; do
	compare "$how" "$victims/forker" --how $how --children 20 --hold-ms 200
done
compare bomb "$victims/forker" --how bomb --children 300 --hold-ms 100
check "short-lived children end up as exited" test \
	"$(json '[.processes[] | select(.state == "running")] | length')" = 0
finish
