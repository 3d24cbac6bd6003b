# SPDX-License-Identifier: MIT
# SKSM_MODE=off and excluded programs: as if nothing were preloaded.
. "$SKSM_TEST_SOURCE/test/lib.sh"
side_by_side=1
export SKSM_INTERVAL_MS=3 SKSM_AGE_MS=0
SKSM_MODE=off compare off "$victims/hold" --bytes 16M --seconds 0.5 --write-half
check "off leaves nothing behind" test ! -e "$SKSM_DIR"
check "off says nothing" test ! -s off.err
SKSM_EXCLUDE='sleep,ho*' compare excluded "$victims/hold" --bytes 16M --seconds 0.5
SKSM_INCLUDE='nginx,redis-*' compare not_included "$victims/hold" --bytes 16M --seconds 0.5
check "excluded programs are not tracked" test \
	"$(json '[.processes[] | select(.tracked > 0)] | length' 2>/dev/null || echo 0)" = 0
SKSM_INCLUDE='nginx,ho?d' compare included "$victims/hold" --bytes 16M --seconds 0.5
recorded "an included program is" '.comm == "hold" and .tracked > 15000000'

# One thread, and one only where there is memory to work on.
count_threads() {
	LD_PRELOAD=$shim "$victims/hold" "$@" --seconds 30 --pidfile "$T/threads.pid" >/dev/null &
	wait_until 5 test -s threads.pid
	sleep 0.5
	ls "/proc/$(cat threads.pid)/task" | wc -l
	kill $!
	wait
	rm threads.pid
}
check "no thread without memory to work on" test "$(count_threads --bytes 64K)" = 1
check "no thread when off" test "$(SKSM_MODE=off count_threads --bytes 64M)" = 1
# A large default threshold keeps small programs alone.
check "no thread below the threshold" test "$(SKSM_THRESHOLD=1G count_threads --bytes 64M)" = 1
finish
