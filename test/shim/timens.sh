# SPDX-License-Identifier: MIT
# Members of one domain in different time namespaces: their clocks differ by years, and still each
# finds its twins with the other.
. "$SKSM_TEST_SOURCE/test/lib.sh"
need_root
need_able tracking
export SKSM_INTERVAL_MS=20 SKSM_AGE_MS=20 SKSM_THRESHOLD=64K SKSM_CPU_PERCENT=100 SKSM_MODE=estimate
unshare -T --fork --boottime 1000 true 2>/dev/null || skip "no time namespaces here"
hold=("$victims/hold" --bytes 16M --content same)
# Twins of this test are in another process, never in the same.
has_twins() {
	[ "$(json "[.processes[] | select(.comm == \"hold\" and (.command | test(\"seconds $1\$\"))) |
		select(.state == \"running\" and .duplicate > 15000000)] | length")" = 1 ]
}
start here env LD_PRELOAD="$shim" "${hold[@]}" --seconds 101
start ahead unshare -T --fork --kill-child --boottime 100000000 \
	env LD_PRELOAD="$shim" "${hold[@]}" --seconds 102
check "who is here finds the twins of who is ahead" wait_until 8 has_twins 101
check "and the other way round" wait_until 8 has_twins 102
members=$(stat -c %s "$SKSM_DIR/$SKSM_DOMAIN/members")
generation=$(cd "$SKSM_DIR/$SKSM_DOMAIN" && echo index-*)
sleep 1
check "nobody takes the place of the other" test "$members $generation" = \
	"$(stat -c %s "$SKSM_DIR/$SKSM_DOMAIN/members") $(cd "$SKSM_DIR/$SKSM_DOMAIN" && echo index-*)"
finish
