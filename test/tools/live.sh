# SPDX-License-Identifier: MIT
# sksm-report --live: on a terminal, which is put back on every way out, and in a pipe.
. "$SKSM_TEST_SOURCE/test/lib.sh"
export SKSM_INTERVAL_MS=50 SKSM_AGE_MS=100 SKSM_ENGINE=none
report=("$sksm_report" --domain "$SKSM_DOMAIN")
"${report[@]}" --live 0.1 >nobody.out 2>nobody.err &
nobody=$!
wait_until 10 grep -q '  0 running processes: ' nobody.out || fail "nothing is said of nobody"
for name in one two three four; do
	start $name env LD_PRELOAD="$shim" "$victims/hold" --bytes 20M --seconds 200
done
seen() {
	[ "$(json '[.processes[] | select(.state == "running" and .resident >= 20000000)] | length')" = 4 ]
}
wait_until 15 seen || fail "not there: $("${report[@]}")"

# tables N FILE: N times all four, with a line of sums and a heading before and an empty line behind.
tables() {
	awk -v want="$1" '
		/^[0-9-]* [0-9:]*  4 running processes: / { state = 1; next }
		state == 1 && /^ *PID COMM / { state = 2; next }
		state >= 2 && state < 6 && / hold +running / { state++; next }
		state == 6 && /^$/ { count++ }
		{ state = 0 }
		END { exit count < want }' "$2"
}
grown() {
	tables 2 nobody.out
}
check "it goes on, and shows who came after it" wait_until 15 grown
kill "$nobody"
wait "$nobody"
check "until it is killed" test $? = 143
check "nothing for a terminal in it" test "$(grep -c "$(printf '\033')" nobody.out)" = 0

timeout -k 5 60 "${report[@]}" --live 0.1 2>pipe.err | head -n 24 >pipe.out
status=${PIPESTATUS[0]}
check "tables in a pipe" tables 2 pipe.out
check "a closed pipe ends it, as it does others" test "$status" = 141
# Though it would not write again for a day.
timeout -k 5 60 "${report[@]}" --live 86400 2>>pipe.err | head -n 1 >first.out
check "at once" test "${PIPESTATUS[0]}" = 141
check "without a word" test ! -s pipe.err
timeout 60 "${report[@]}" --live=0.1 --sort tracked:desc --columns pid,tracked 2>&1 | head -n 2 |
	tail -n 1 >columns.out
check "columns" test "$(tr -d ' ' <columns.out)" = PIDTRACKED
"${report[@]}" --live soon >/dev/null 2>soon.err
check "an interval that is none" test $? = 2 -a -s soon.err
check "other views once" timeout 60 "${report[@]}" --live --by-site

timeout -k 5 120 "$python" "$source_dir/test/terminal.py" "${report[@]}" >terminal.out 2>&1
check "the terminal: all was tried" test $? = 0
while read -r line; do
	check "${line#NOT: }" test "${line#NOT: }" = "$line"
done <terminal.out
check "and said" test "$(wc -l <terminal.out)" = 22
finish
