# SPDX-License-Identifier: MIT
# sksm-report: the JSON of the contract, the table, and records that are not what they seem.
leaves_ksmd=1
. "$SKSM_TEST_SOURCE/test/lib.sh"
export SKSM_INTERVAL_MS=50 SKSM_AGE_MS=100 SKSM_ENGINE=none
start one env LD_PRELOAD="$shim" "$victims/hold" --bytes 20M --seconds 60
one=$pid
start two env LD_PRELOAD="$shim" "$victims/hold" --bytes 20M --seconds 60
two=$pid
have_both() {
	[ "$(json '[.processes[] | select(.duplicate >= 20000000)] | length')" = 2 ]
}
check "both have their duplicates" wait_until 15 have_both

json . >all.json
check "schema" jq -e '.schema == "sksm-report/1"' all.json
check "host" jq -e '.host | has("kernel") and has("engine") and has("capabilities")' all.json
check "capabilities are true or false with a reason" jq -e \
	'[.host.capabilities[] | if type == "object" then (to_entries | any(.value | type == "boolean")) else type == "boolean" end] | all and length > 3' all.json
for key in pid comm command state engine tracker dormant seconds passes tracked resident armed \
	   invariant hot digested duplicate offered merged zero saved debt writes_seen cow_breaks \
	   cpu_ns sensitive_skipped shared_unmergeable; do
	jq -e "[.processes[] | has(\"$key\")] | all" all.json >/dev/null || flunk "no $key in a process"
done
pass "all keys of a process"
for key in tracked resident duplicate merged saved cpu_ns; do
	jq -e ".total.$key == ([.processes[].$key] | add)" all.json >/dev/null ||
		flunk "total.$key is not the sum"
done
pass "total is the sum"
check "the pacer's cost" jq -e '.total | has("pacer_cpu_ns") and has("ksmd_cpu_ns")' all.json
check "pids" jq -e "[.processes[].pid] | sort == ([$one, $two] | sort)" all.json
check "running" jq -e '[.processes[].state] | unique == ["running"]' all.json

all_calm() {
	[ "$(json '[.processes[].trend] == ["converged", "converged"]')" = true ]
}
check "both converge" wait_until 20 all_calm
check "a history of each, oldest first" jq -e '[.processes[] | [.history[].seconds] |
	length >= 4 and . == sort and .[-1] < 240] == [true, true]' report.json

# A shell maps nothing: no record, but it is told.
start shell env LD_PRELOAD="$shim" sh -c 'kill -STOP $$'
shell=$pid
knows_shell() {
	json . | jq -e ".unrecorded == [{pid: $shell, comm: \"sh\"}] and (.processes | length) == 2" >/dev/null
}
check "a process without a record" wait_until 10 knows_shell
check "and those with one are not among them" jq -e '.unrecorded == []' all.json
check "the table names it" grep -qx "1 more with the library, .* is left alone: sh ($shell)" \
	<("$sksm_report" --domain "$SKSM_DOMAIN")
check "in its domain alone" jq -e '.unrecorded == []' <("$sksm_report" --json --domain other)
kill -KILL "$shell"
wait "$shell" 2>/dev/null

report=("$sksm_report" --domain "$SKSM_DOMAIN")
check "the table tells" test "$("${report[@]}" | grep -c 'hold.* converged ')" = 2
check "--pid" test "$("${report[@]}" --json --pid "$one" | jq -c '[.processes[].pid]')" = "[$one]"
kill "$one"
wait "$one" 2>/dev/null
kill -KILL "$two"
wait "$two" 2>/dev/null
pids=()
check "--live" test "$("${report[@]}" --json --live | jq '.processes | length')" = 0
check "--finished" test "$("${report[@]}" --json --finished | jq -c '[.processes[].state] | unique')" = '["killed"]'
"${report[@]}" >table
check "the table has a line for each" test "$(grep -c hold table)" -ge 2
check "and a heading" grep -q PID table
check "humanised bytes" grep -Eq '[0-9](\.[0-9])?M' table
"${report[@]}" --no-such-option >/dev/null 2>option.err
check "a wrong option is refused" test $? -ge 1 -a -s option.err
"${report[@]}" 123 >/dev/null 2>option.err
check "a pid by itself too" test $? -ge 1
check "and it says how" grep -q "unexpected argument '123': --pid" option.err

# Records that are not what they seem are named and skipped.
records=$SKSM_DIR/$SKSM_DOMAIN/records
good=$(find "$records" -name '*.rec' | head -n 1)
: >"$records/11-1.rec"
head -c 100 "$good" >"$records/12-1.rec"
head -c 4096 /dev/urandom >"$records/13-1.rec"
cp "$good" "$records/14-1.rec"
printf '\377\377' | dd of="$records/14-1.rec" bs=1 seek=8 conv=notrunc status=none
ln -s /etc/passwd "$records/15-1.rec"
mkdir "$records/16-1.rec"
mkfifo "$records/17-1.rec"
cp "$good" "$records/18-1.rec"
chmod 666 "$records/18-1.rec"
timeout 20 "${report[@]}" --json >bad.json 2>bad.err
check "exit status with bad records" test $? = 0
check "the good ones are there" jq -e "[.processes[].pid] | contains([$one, $two])" bad.json
for number in 11 12 13 14; do
	check "record $number is named" grep -q "$number-1.rec" bad.err
done
check "no crash for people either" timeout 20 "${report[@]}"

# Fuzz: bits flipped in a good record.
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	cp "$good" "$records/20-$i.rec"
	for _ in 1 2 3 4 5 6 7 8; do
		printf "\\x$(printf %02x $((RANDOM % 256)))" |
			dd of="$records/20-$i.rec" bs=1 seek=$((RANDOM % 900)) conv=notrunc status=none
	done
done
timeout 20 "${report[@]}" --json 2>/dev/null >fuzzed.json
check "exit status with damaged records" test $? = 0
check "still JSON" jq -e '.processes | length >= 2' fuzzed.json
# What a process leaves that is killed before it has filled in its record.
touch "$records/4194303-8.rec"
head -c 100 "$good" >"$records/4194303-9.rec"
touch "$records/$$-9.rec"
touch -d '1 minute ago' "$records/4194303-9.rec" "$records/$$-9.rec"
"${report[@]}" --prune >/dev/null 2>&1
check "--prune removes a record that was never filled in" test ! -e "$records/4194303-9.rec"
check "but not one that may be under way" test -e "$records/4194303-8.rec" -a -e "$records/$$-9.rec"
check "--prune removes what has ended" test "$("${report[@]}" --json 2>/dev/null | jq "[.processes[] | select(.pid == $two)] | length")" = 0
"${report[@]}" --check >check.out 2>&1
check "--check prints what this machine can do" test "$(wc -l <check.out)" -ge 3
SKSM_DIR=$T/none "$sksm_report" --json --domain nobody-has-this >none.json 2>/dev/null
check "no records at all" jq -e '.processes == []' none.json
finish
