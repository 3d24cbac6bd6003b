# SPDX-License-Identifier: MIT
# The call sites of real programs are those that a person who reads the program would name.
leaves_ksmd=1
. "$SKSM_TEST_SOURCE/test/lib.sh"
need_able tracking
export SKSM_INTERVAL_MS=50 SKSM_AGE_MS=100 SKSM_ENGINE=none
report=("$sksm_report" --by-site --json --domain "$SKSM_DOMAIN")

# top PROGRAM: the site that made most of what is resident there, as JSON.
top() {
	"${report[@]}" 2>/dev/null | jq -c "[.processes[] | select(.comm | test(\"$1\"))][0].sites |
		max_by(.resident) | [.label, .resident, ([.frames[].place] | join(\" \"))]"
}
has_top() {
	top "$1" | grep -Eq "$2"
}
sums_up() {
	"${report[@]}" 2>/dev/null | jq -e "[.processes[] | select(.comm | test(\"$1\")) |
		.tracked == ([.sites[].tracked] | add) and .resident == ([.sites[].resident] | add) and
		.duplicate == ([.sites[].duplicate] | add)] | length > 0 and all" >/dev/null
}

if $python -c 'import numpy' 2>/dev/null; then
	start arrays env LD_PRELOAD="$shim" $python -c 'import numpy, time
weights = numpy.arange(8 << 20, dtype=numpy.float64)
time.sleep(60)'
	check "numpy's array is numpy's" wait_until 20 has_top python '_multiarray_umath'
	whole() {
		[ "$(top python | jq '.[1] >= 67108864')" = true ]
	}
	check "with all of its 64 MiB" wait_until 10 whole
	check "and all sums up" wait_until 10 sums_up python
	kill "$pid"
	wait "$pid" 2>/dev/null
	"$sksm_report" --prune --domain "$SKSM_DOMAIN" >/dev/null
else
	echo "no numpy: not tested"
fi

# Small objects of python come from arenas of 1 MiB, mapped by its own allocator.
start objects env LD_PRELOAD="$shim" $python -c 'import time
kept = [b"%d" % i * 40 for i in range(300000)]
time.sleep(60)'
objects_known() {
	"${report[@]}" 2>/dev/null | jq -e '[.processes[0].sites[] | select(.kind == "site" and
		(.frames[0].module | test("python"))) | .resident] | add > 30000000' >/dev/null
}
check "python's arenas are python's" wait_until 20 objects_known
kill "$pid"
wait "$pid" 2>/dev/null
"$sksm_report" --prune --domain "$SKSM_DOMAIN" >/dev/null

if command -v java >/dev/null && java --list-modules 2>/dev/null | grep -q jdk.compiler; then
	cat >Heap.java <<'JAVA'
public class Heap {
	public static void main(String[] arguments) throws Exception {
		Thread.sleep(60000);
	}
}
JAVA
	start heap env LD_PRELOAD="$shim" java -Xms128m -Xmx128m -XX:+AlwaysPreTouch \
		-XX:-UsePerfData Heap.java
	check "the heap of a JVM is libjvm's" wait_until 30 has_top java 'libjvm\.so'
	# It is touched, by several threads, while it is seen already.
	heap_whole() {
		[ "$(top java | jq '.[1] > 120000000')" = true ]
	}
	check "all of it" wait_until 10 heap_whole
	check "and all sums up" wait_until 10 sums_up java
else
	echo "no java that compiles: not tested"
fi
finish
