# SPDX-License-Identifier: MIT
# sksm-report --diagnose: each part of the memory in words, what the pages hold, near misses.
leaves_ksmd=1
. "$SKSM_TEST_SOURCE/test/lib.sh"
export SKSM_INTERVAL_MS=50 SKSM_AGE_MS=100 SKSM_ENGINE=none
report=("$sksm_report" --domain "$SKSM_DOMAIN")

start_pair() {
	start one env LD_PRELOAD="$shim" "$victims/near" "$1"
	one=$pid
	start two env LD_PRELOAD="$shim" "$victims/near" "$1"
	two=$pid
	wait_until 10 said one ready && wait_until 10 said two ready || fail "$1: not ready"
	wait_until 10 calm || fail "$1: not calm: $("${report[@]}")"
}

calm() {
	[ "$(json '[.processes[] | select(.state == "running" and .digested >= 16000000)] | length')" = 2 ]
}

end_pair() {
	kill "$one" "$two"
	wait "$one" "$two" 2>/dev/null
	pids=()
	"$sksm_report" --prune --domain "$SKSM_DOMAIN" >/dev/null
}

# diagnosed TEXT CONDITION: of the JSON.
diagnosed() {
	check "$1" jq -e "$2" diagnosis.json
}

# misses KIND: pairs whose pages differ in words of that kind only.
misses() {
	start_pair "$1"
	"${report[@]}" --diagnose --json >diagnosis.json || fail "$1: exit status $?"
	diagnosed "$1: nothing has a twin" \
		'[.processes[].findings[] | select(.cause == "no_twin") | .bytes] | add >= 32000000'
	diagnosed "$1: half of it is a near miss, for that reason" \
		".near.causes.$1 >= 16000000 and .near.causes.$1 <= .near.bytes and .near.causes.$1 < 20000000"
	# Where the words are: 64, 512, ... and nowhere else.
	diagnosed "$1: the offsets" \
		'[.near.places[] | select(.where | startswith("near ")) | .offsets[] | select(.pages > 3000) |
		  .offset] | length >= 9 and all(. % 448 == 64)'
	"${report[@]}" --diagnose >words
	check "$1: in words" grep -q "$2" words
	end_pair
}

# By who made the pages: objects that count references, and data in which nothing is counted.
start one env LD_PRELOAD="$shim" "$victims/refcounts" 3
one=$pid
start two env LD_PRELOAD="$shim" "$victims/refcounts" 5
two=$pid
wait_until 10 said one ready && wait_until 10 said two ready || fail "refcounts: not ready"
are_known() {
	[ "$(json '[.processes[] | select(.digested >= 33000000)] | length')" = 2 ] &&
		[ "$("${report[@]}" --by-site --json | jq '[.processes[].sites[] |
			select(.kind == "site" and .invariant > 16000000)] | length')" = 4 ]
}
wait_until 15 are_known || fail "refcounts: not calm: $("${report[@]}" --by-site)"
"${report[@]}" --diagnose --json >diagnosis.json || fail "refcounts: exit status $?"
diagnosed "counts of references: at the place that made the objects" \
	'[.near.places[] | select(.causes.counter >= 16000000) | .where |
	  contains("make_objects <") and startswith("refcounts ")] == [true]'
diagnosed "at the offset where they are" \
	'.near.places[0].offsets | map(select(.pages > 3000) | .offset) == [16]'
diagnosed "and none where nothing is counted" \
	'[.near.places[] | select(.where | contains("make_data"))] == []'
"${report[@]}" --diagnose >words
check "in words" grep -q 'M in refcounts .*make_objects < main, mostly for counters' words
end_pair

misses pointer 'M in near main (near.c:[0-9]*), mostly for pointers'
misses counter 'M in near .*mostly for counters'
misses time 'M in near .*mostly for time stamps'

start_pair twin
have_twins() {
	[ "$(json '[.processes[] | select(.state == "running" and .duplicate >= 16000000)] | length')" = 2 ]
}
check "twins are found" wait_until 10 have_twins
"${report[@]}" --diagnose --json >diagnosis.json || fail "exit status $?"
diagnosed "twins that nothing merges" \
	'[.processes[].findings[] | select(.cause == "no_engine" and .bytes > 16000000)] | length == 2'
diagnosed "contents that are there twice" \
	'.contents.few >= 33554432 and .contents.few_contents >= 4096 and .near.bytes < 1000000'
"${report[@]}" --diagnose --pid "$one" >words
check "one process: its findings" grep -q "^near ($one), running" words
check "and no other's" test "$(grep -c '^near (' words)" = 1
diagnosed "the parts are the memory" 'all(.processes[];
	([.findings[] | select(.cause != "shared" and .cause != "sensitive") | .bytes] | add) as $sum |
	$sum > .resident * 0.97 and $sum < .resident * 1.03)'
if [ "$(id -u)" = 0 ]; then
	chmod -R a+rX "$T"
	setpriv --reuid 65534 --regid 65534 --clear-groups -- "$sksm_report" --diagnose --pid "$one" \
		>other.out 2>&1
	check "another user is told nothing of them" \
		test "$(grep -c 'Contents of' other.out)" = 0
fi
end_pair
"${report[@]}" --diagnose >none.out
check "nothing to diagnose: says so" grep -q 'no process in domain' none.out
finish
