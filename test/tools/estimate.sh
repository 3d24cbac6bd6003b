# SPDX-License-Identifier: MIT
# sksm-report --estimate --pid: contents that are known, and processes that cannot be looked at.
. "$SKSM_TEST_SOURCE/test/lib.sh"
schema=$source_dir/docs/estimate.schema.json
estimate=("$sksm_report" --estimate --interval 0.3)

# hold NAME ARG...: without the shim.
hold() {
	local name=$1

	shift
	start "$name" "$victims/hold" --seconds 100 "$@"
	wait_until 20 said "$name" ready || fail "$name is not ready"
}

estimated() {
	check "$1" jq -e "$2" estimate.json || jq -c '.total, .cost, .verdict' estimate.json
}

MIB=1048576
hold a --bytes 16M
a=$pid
hold b --bytes 16M
b=$pid
hold repeat --bytes 8M --content repeat --seed 7
repeat=$pid
hold zero --bytes 8M --content zero
zero=$pid
hold unique --bytes 8M --content unique
unique=$pid
hold small --bytes 512K --content repeat
small=$pid
"${estimate[@]}" --json --pid "$a" "$b" "$repeat" "$zero" "$unique" "$small" >estimate.json
check "exit status" test $? = 0
check "fits its schema" "$python" "$source_dir/test/schema.py" "$schema" estimate.json
# 16 of 2 x 16 MiB, all of 8 MiB but a page twice.
estimated "saved" ".total.saved / $MIB | . > 31.9 and . < 32.1"
estimated "by zeros" ".total.kinds.zero | .contents == 1 and .saved == 8 * $MIB - 4096"
estimated "by one content" ".total.kinds.many | .contents == 1 and .saved == 8 * $MIB - 4096"
estimated "by many contents" ".total.kinds.diverse | .contents == 4096 and .saved == 16 * $MIB"
estimated "the kinds are the sum" ".total.saved == ([.total.kinds[].saved] | add)"
estimated "the processes are the sum" \
	'.total.saved as $sum | [.processes[].saved] | add - $sum | fabs <= 8192'
estimated "each has its part" \
	"[.processes[] | .saved / $MIB | . + 0.5 | floor] == [8, 8, 8, 8, 0, 0]"
estimated "unique pages are resident and calm" \
	".processes[4] | .resident == 8 * $MIB and .calm == .resident and .duplicate == 0"
estimated "what is below the threshold is not watched" ".processes[5].resident == 0"
estimated "nothing was written" '.cost.cow_breaks_per_second == 0'
estimated "cost" '.cost | .digests == .digests and .digests >= 14336 and .merges == 12288 and
	.cpu_ns > 0 and .ksmd_cpu_ns > .cpu_ns and .seconds > 2 and .seconds < 60'
estimated "go" '.go and (.verdict | startswith("go: 32M of 56M"))'
"${estimate[@]}" --pid "$a" --pid "$b" >words 2>words.err
check "for people, with --pid twice" grep -q '^would be freed: 16M' words
check "one line at the end" grep -q '^go: 16M of 32M (50 %) would be freed in about' words
check "no progress where nobody looks" test ! -s words.err
# Of it the pages 0 and 2 were never touched. Some kernels have no zero page to show to who reads
# them.
start holey "$python" -c '
import ctypes, mmap, time
m = mmap.mmap(-1, 16 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
m.madvise(mmap.MADV_NOHUGEPAGE)
for page in (1, *range(3, len(m) >> 12)):
    m[page << 12] = page & 255
print(ctypes.addressof(ctypes.c_char.from_buffer(m)) >> 12, flush=True)
time.sleep(100)'
holey=$pid
wait_until 20 test -s holey.out || fail "holey is not ready"
# Which of its first four pages are in memory or in swap.
has_holes() {
	dd if="/proc/$holey/pagemap" bs=8 skip="$(cat holey.out)" count=4 2>dd.err |
		od -An -v -tx8 -w8 | while read -r entry; do echo $((0x$entry >> 62 & 3)); done |
		tr -d '\n' | grep -qx '0[1-3]0[1-3]'
}
check "two pages were never touched" has_holes
SKSM_THRESHOLD=8M "${estimate[@]}" --pid "$holey" >/dev/null || flunk "--estimate of memory with holes"
check "they are not brought in by reading" has_holes
"$frames" "$holey" >/dev/null || flunk "frames of memory with holes"
check "nor by counting frames" has_holes
kill "$holey"
SKSM_THRESHOLD=64M "${estimate[@]}" --json --pid "$a" "$b" >estimate.json
estimated "a larger threshold" '.total.resident == 0 and (.go | not)'
"${estimate[@]}" --json --pid "$unique" "$a" >estimate.json
estimated "no-go where nothing is equal" '(.go | not) and (.verdict | startswith("no-go: "))'
if grep -qE '\[(always|madvise)\]' /sys/kernel/mm/transparent_hugepage/enabled 2>/dev/null; then
	hold huge --bytes 16M --huge --content unique --seed 9
	# Only every other page of it is equal to the other's.
	"${estimate[@]}" --json --pid "$pid" >estimate.json
	estimated "unique huge pages" '.total.saved == 0 and .total.resident >= 16777216'
	hold huge1 --bytes 16M --huge
	huge=$pid
	"${estimate[@]}" --json --pid "$a" "$huge" >estimate.json
	estimated "huge pages whose twins are worth it" ".total.saved >= 15.9 * $MIB"
fi

# Memory that is written while it is looked at: a sixteenth of it each 100 ms.
kill "${pids[@]}"
wait "${pids[@]}" 2>/dev/null
pids=()
hold hot1 --bytes 64M --touch-every 100
hot1=$pid
kill -STOP "$hot1"	# twins last for 1.6 s
hold hot2 --bytes 64M --touch-every 100
kill -CONT "$hot1"
"${estimate[@]}" --json --pid "$hot1" "$pid" >estimate.json
estimated "written memory is not calm" '.total.calm < 0.95 * .total.resident'
# 2 x 1024 pages each 100 ms, as long as there are twins left.
estimated "writes to what would be merged" '.cost.cow_breaks_per_second > 1000'
estimated "and so no-go" '(.go | not) and (.verdict | test("written again"))'

# One that ends meanwhile.
hold ends --bytes 8M
ends=$pid
(sleep 1.5; kill "$ends") &
"${estimate[@]}" --interval 3 --json --pid "$ends" "$hot1" >estimate.json
estimated "one that ends meanwhile is not counted" '.processes[0] | .gone and .resident == 0'
check "fits too" "$python" "$source_dir/test/schema.py" "$schema" estimate.json
wait "$ends" 2>/dev/null
hold ends --bytes 8M
ends=$pid
(sleep 1.5; kill "$ends") &
"${estimate[@]}" --interval 3 --pid "$ends" >/dev/null 2>all.err
check "all of them: exit status 1" test $? = 1
check "and why" grep -q 'ended meanwhile' all.err

# refused STATUS TEXT ARG...
refused() {
	local status=$1 text=$2

	shift 2
	timeout 20 "${drop[@]}" "$sksm_report" --estimate "$@" >refused.out 2>refused.err
	check "'$*': status $status" test $? = "$status"
	check "'$*': says why: $text" grep -q "$text" refused.err || cat refused.err
	check "'$*': nothing else" test ! -s refused.out
}
drop=()
refused 2 'which processes'
refused 2 'not a number' --pid init
refused 2 'not a number' --pid -1
refused 2 'not a number' --pid 0
refused 2 'not a number of seconds' --interval soon --pid $$
refused 1 "process 4194304: there is none" --pid 4194304
refused 1 "process 4194304: there is none" --pid $$ 4194304
start undertaker "$python" -c 'import os, time
child = os.fork() or os._exit(0)
print(child, flush=True)
time.sleep(60)'
wait_until 5 test -s undertaker.out
refused 1 'a zombie' --pid "$(cat undertaker.out)"
if [ "$(cat /proc/2/comm 2>/dev/null)" = kthreadd ]; then
	refused 1 'a thread of the kernel' --pid 2
fi
if [ "$(id -u)" = 0 ]; then
	drop=(setpriv --reuid 65534 --regid 65534 --clear-groups)
	refused 1 'may not be read' --pid "$hot1"
	# And one of its own, without any privilege.
	chmod 777 "$T"
	start own "${drop[@]}" "$victims/hold" --bytes 8M --content repeat --seconds 60
	wait_until 10 said own ready
	"${drop[@]}" "$sksm_report" --estimate --interval 0.2 --pid "$pid" >own.out
	check "without privilege" grep -q '^would be freed: 8.0M\|^would be freed: 8M' own.out
fi
check "ksm settings as before" ksm_as_before

# Progress, where somebody looks.
script -qec "$sksm_report --estimate --interval 0.2 --pid $hot1" /dev/null >terminal.out 2>&1
check "on a terminal: the verdict stands alone" grep -qa 'no-go: ' terminal.out
finish
