# SPDX-License-Identifier: MIT
# Which place in the program made the memory: by site, by mapping, folded, with and without symbols.
leaves_ksmd=1
. "$SKSM_TEST_SOURCE/test/lib.sh"
export SKSM_INTERVAL_MS=50 SKSM_AGE_MS=100 SKSM_ENGINE=none
report=("$sksm_report" --domain "$SKSM_DOMAIN")

# start_sites NAME PROGRAM [ARG...]: preloaded, until all its memory has a twin or is known not to.
start_sites() {
	local name=$1

	shift
	start "$name" env LD_PRELOAD="$shim" "$@"
	wait_until 20 said "$name" ready || fail "$name does not get ready"
}

# of PID EXPRESSION: of the process in the report by site and mapping.
of() {
	"${report[@]}" --by-mapping --json --pid "$1" >"$T/sites.json" 2>/dev/null &&
		jq -r ".processes[0] | $2" "$T/sites.json"
}

is() {
	[ "$(of "$1" "$2")" = "$3" ]
}

# The process calls its own children by another pid than that of the start script.
victim_pid() {
	"${report[@]}" --json | jq -r "[.processes[] | select(.comm == \"$1\")][${2:-0}].pid"
}

start_sites one "$victims/sites" --plugin "$build/test/plugins/maker.so"
one=$(victim_pid sites)
settled() {
	is "$1" 'if .duplicate > 28000000 and .duplicate == ([.sites[].duplicate] | add) then 1 else 0 end' 1
}
check "all is found" wait_until 20 settled "$one"

# site FUNCTION: the site with it among its functions, as JSON.
site() {
	of "$one" "[.sites[] | select([.frames[].functions[].function] | index(\"$1\"))] | .[0]"
}

for function in make_plain make_inlined make_moved make_named make_halved plugin_make; do
	check "$function made 4 MiB" test "$(site $function | jq '.tracked / 1048576')" = 4
	check "$function is called by main" test \
		"$(site $function | jq '[.frames[].functions[].function] | index("main") != null')" = true
done
check "of duplicates, nearly all" test "$(site make_plain | jq '.duplicate / 1048576 > 3.9')" = true
check "inlined functions" test "$(site make_inlined | jq -c \
	'[.frames[1].functions[] | [.function, .inlined]]')" = \
	'[["inner_inlined",true],["outer_inlined",true],["make_inlined",false]]'
check "file and line" test "$(site make_plain | jq -r \
	'.frames[0].functions[0] | .file | split("/") | last')" = sites.c
line=$(site make_plain | jq -r '.frames[0].functions[0].line')
check "the line is that of the call" grep -q 'mmap(' <(sed -n "${line}p" "$source_dir/test/victims/sites.c")
check "a plugin" test "$(site plugin_make | jq -r '[.frames[:2][] | .module | split("/") | last] | unique | .[]')" = maker.so
check "heap" is "$one" '[.sites[] | select(.kind == "heap") | .resident > 4000000] == [true]' true
check "malloc's arena" is "$one" '[.sites[] | select(.kind == "malloc arena") | .resident > 4000000] == [true]' true

# Someone else's word for it.
need_command addr2line
of "$one" '.sites[].frames[] | select(.functions | length > 0) |
	[.module, .offset, ([.functions[].function] | join(" "))] | @tsv' | sort -u >frames.tsv
differ=0
while IFS=$'\t' read -r module offset functions; do
	theirs=$(addr2line -i -f -e "$module" "$(printf '%x' "$offset")" | sed -n 'p;n' | tr '\n' ' ')
	# Of what has no debug information addr2line looks at less than libdw does.
	case $theirs in *'??'*) continue ;; esac
	[ "${theirs% }" = "$functions" ] || { differ=1; echo "$module $offset: $functions, not $theirs"; }
	compared=1
done <frames.tsv
check "addr2line agrees" test $differ${compared:-0} = 01

# What is told of the process and what is told of its parts.
for key in tracked resident invariant duplicate offered merged zero saved writes_seen cow_breaks; do
	is "$one" ".$key == ([.sites[].$key] | add)" true || flunk "$key: the sites do not sum up"
done
for key in tracked resident invariant duplicate offered merged zero saved; do
	is "$one" ".$key == ([.mappings[].$key] | add)" true ||
		flunk "$key: the mappings do not sum up"
done
pass "sites and mappings sum up to the process"

"${report[@]}" --by-site >table
check "a table" grep -q 'make_plain < main' table
check "kinds in the table" grep -q '\[heap\]' table
"${report[@]}" --by-site --sort tracked:asc >ascending
check "sorted" test "$(grep -n 'make_plain' ascending | cut -d: -f1)" -gt 1
check "a wrong column is refused" test "$("${report[@]}" --by-site --sort comm 2>&1 >/dev/null; echo $?)" != 0
"${report[@]}" --by-mapping --bytes >mappings
check "mappings have ranges" grep -Eq '[0-9a-f]+-[0-9a-f]+ .*\[heap\]' mappings
start_of=$(of "$one" '[.mappings[] | select(.label | contains("make_plain"))][0].start')
check "and are where they are" grep -q "^${start_of#0x}-" "/proc/$one/maps"
"${report[@]}" --folded >folded
check "folded stacks" grep -Eq '^sites;.*main;make_plain;map [0-9]+$' folded
check "with the functions in order" grep -Eq ';make_inlined;outer_inlined;inner_inlined;map [0-9]+$' folded
check "and all that is tracked" test "$(awk '{ sum += $NF } END { print sum }' folded)" = "$(of "$one" .tracked)"
if grep -q 'victim buffer' "/proc/$one/maps"; then
	check "a name given by prctl" is "$one" '[.mappings[] | select(.name == "[anon:victim buffer]")] | length' 1
else
	echo "no names for memory in this kernel: PR_SET_VMA is not tested"
fi

# A reader that has seen enough; nobody to ask about.
"${report[@]}" --by-site 2>pipe.err | head -n 1 >/dev/null
check "a closed pipe says nothing" test ! -s pipe.err
"${report[@]}" --by-site --pid 4194303 >nobody.out 2>nobody.err
check "an unknown process" test $? = 1 -a -s nobody.err

# Without symbols, with those of a separate file, and with a file that is another one now.
cp "$victims/sites" bare
strip bare
cp "$victims/sites" apart
objcopy --only-keep-debug apart apart.debug
strip apart
objcopy --add-gnu-debuglink=apart.debug apart
cp "$victims/sites" replaced
for name in bare apart replaced; do
	start_sites $name "./$name"
done
# The same symbols in a file that says of itself that it is another one.
objcopy --dump-section .note.gnu.build-id=note replaced /dev/null
printf '\377\377' | dd of=note bs=1 seek=20 conv=notrunc status=none
objcopy --update-section .note.gnu.build-id=note replaced other
mv other replaced
has_label() {
	is "$(victim_pid "$1")" "[.sites[] | select(.label | test(\"$2\"))] | length > 0" true
}
check "without symbols: module and offset" wait_until 10 has_label bare '^bare\\+0x[0-9a-f]+ < \\+0x'
offset=$(of "$(victim_pid bare)" '[.sites[].frames[0] | select(.module | . and endswith("bare"))][0].offset')
check "which lies in the code that maps" grep -q map <(addr2line -i -f -e "$victims/sites" "$(printf '%x' "$offset")")
check "a separate debug file" wait_until 10 has_label apart 'sites\\.c:[0-9]+\\) < make_plain < main'
check "not the names of another file" wait_until 10 has_label replaced '^replaced\\+0x'

# Frames as many as asked for, or none.
start_sites two env SKSM_BACKTRACE=2 "$victims/sites"
two=$(victim_pid sites 1)
known() {
	is "$1" '[.sites[] | select(.kind == "site")] | length > 0' true
}
check "SKSM_BACKTRACE=2" wait_until 10 known "$two"
check "has two frames" is "$two" '[.sites[].frames | length] | max' 2
start_sites none env SKSM_BACKTRACE=0 "$victims/sites"
sleep 0.5
none=$(victim_pid sites 2)
check "SKSM_BACKTRACE=0 leaves no file" test -z "$(find "$SKSM_DIR" -name "$none-*.sites")"
check "and no sites" is "$none" '.sites | length' 0
check "which the table says" grep -q 'without call sites' <("${report[@]}" --by-site --pid "$none")

# A child has its parent's memory, and knows who made it.
start_sites forks "$victims/sites" --fork
wait_until 20 grep -q '^child ' forks.out || fail "no child"
child=$(sed -n 's/^child //p' forks.out)
pids+=("$child")
of_child() {
	[ -n "$(find "$SKSM_DIR" -name "$child-*.sites" -size +0)" ] &&
		is "$child" '[.sites[] | select(.label | contains("make_plain"))][0].resident / 1048576' 4
}
check "a child inherits the sites" wait_until 15 of_child

# Killed, and then pruned.
kill -KILL "$one"
wait_until 5 gone "$one"
check "what was killed is there still" is "$one" '[.sites[] | select(.label | contains("make_plain"))] | length' 1
"${report[@]}" --prune --pid "$one" >/dev/null
check "pruned with the record" test -z "$(find "$SKSM_DIR" -name "$one-*")"
touch "$SKSM_DIR/$SKSM_DOMAIN/records/4194303-8.rec.sites"
"${report[@]}" --prune >/dev/null
check "and without it" test ! -e "$SKSM_DIR/$SKSM_DOMAIN/records/4194303-8.rec.sites"

# Files that are not what they seem.
file=$(find "$SKSM_DIR" -name "$child-*.sites")
for kind in random truncated newer link fifo directory; do
	rm -rf "$file"
	case $kind in
	random) head -c 2000000 /dev/urandom >"$file" ;;
	truncated) head -c 500 /dev/zero >"$file" ;;
	newer) printf 'SKSITES1\377\377\377\377%0100d' 0 >"$file" ;;
	link) ln -s /etc/passwd "$file" ;;
	fifo) mkfifo "$file" ;;
	directory) mkdir "$file" ;;
	esac
	timeout 10 "${report[@]}" --by-site --pid "$child" >odd.out 2>odd.err
	check "a file that is $kind" test $? = 0 -a -s odd.err
done
rm -rf "$file"
check "no file" "${report[@]}" --by-site --pid "$child"

# From signal handlers on small stacks, which may run over nothing.
check "mapping in signal handlers" test "$(preload env SKSM_BACKTRACE=64 "$victims/altstack" --seconds 3)" = ok
finish
