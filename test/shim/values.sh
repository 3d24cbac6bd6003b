# SPDX-License-Identifier: MIT
# A value that cannot be used is named in one line on standard error, and changes nothing else.
. "$SKSM_TEST_SOURCE/test/lib.sh"
long=$(printf 'x%.0s' {1..600})
hold=("$victims/hold" --bytes 4M --seconds 0.15)
"${hold[@]}" >plain.out </dev/null
while IFS='=' read -r name value; do
	value=${value//LONG/$long}
	timeout 20 env LD_PRELOAD="$shim" "SKSM_$name=$value" "${hold[@]}" >shim.out 2>shim.err </dev/null ||
		fail "SKSM_$name=$value: exit status $?"
	cmp -s plain.out shim.out || fail "SKSM_$name=$value: another output"
	lines=$(wc -l <shim.err)
	[ "$lines" = 1 ] || fail "SKSM_$name=$value: $lines lines on standard error: $(cat shim.err)"
	grep -Eq "$own_lines" shim.err || fail "SKSM_$name: no prefix: $(cat shim.err)"
	grep -q "SKSM_$name" shim.err || fail "the line does not name SKSM_$name: $(cat shim.err)"
	pass "SKSM_$name=${value:0:20}: $(cut -c1-120 shim.err)"
done <<'VALUES'
MODE=maybe
MODE=
MODE=MERGE
ENGINE=v8
TRACKER=dog
THRESHOLD=lots
THRESHOLD=-1
THRESHOLD=1T
THRESHOLD=0
THRESHOLD=99999999999999999999
TRACK=stack
TRACK=anon,
INTERVAL_MS=0
INTERVAL_MS=soon
INTERVAL_MS=1.5
AGE_MS=-1
AGE_MS=0x10
CPU_PERCENT=0
CPU_PERCENT=101
CPU_PERCENT=5%
DIR=relative/path
DIR=/LONG
DOMAIN=../other
DOMAIN=a/b
DOMAIN=
DOMAIN=LONG
REPORT=
REPORT=LONG
INCLUDE=LONG
EXCLUDE=LONG
HUGEPAGES=some
SENSITIVE=yes
BACKTRACE=65
BACKTRACE=all
LOG=loud
VALUES
timeout 20 env LD_PRELOAD="$shim" SKSM_MODE=x SKSM_LOG=y SKSM_AGE_MS=z "${hold[@]}" >shim.out 2>shim.err </dev/null
check "three wrong values, three lines" test "$(wc -l <shim.err)" = 3
timeout 20 env LD_PRELOAD="$shim" SKSM_AGE_MS=z SKSM_LOG=off "${hold[@]}" >shim.out 2>shim.err </dev/null
check "the program runs with logging off" cmp plain.out shim.out
finish
