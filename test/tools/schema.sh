# SPDX-License-Identifier: MIT
# The JSON of sksm-report and of SKSM_REPORT against docs/report.schema.json; the doctor.
. "$SKSM_TEST_SOURCE/test/lib.sh"
export SKSM_INTERVAL_MS=50 SKSM_AGE_MS=100 SKSM_ENGINE=none

schema=$source_dir/docs/report.schema.json
valid() {
	"$python" "$source_dir/test/schema.py" "$@"
}

# One that lives, one that exited, one that was killed, one that called exec.
start lives env LD_PRELOAD="$shim" "$victims/hold" --bytes 20M --seconds 60
start killed env LD_PRELOAD="$shim" "$victims/hold" --bytes 20M --seconds 60
killed=$pid
SKSM_REPORT=$T/lines.jsonl preload "$victims/hold" --bytes 20M --seconds 1 </dev/null >/dev/null
start exec env LD_PRELOAD="$shim" bash -c 'x=$(printf %05000000d 1); sleep 1; exec env -u LD_PRELOAD sleep 60' \
	'a "quoted" name with \'
wait_until 10 grep -q sleep "/proc/$pid/comm"
have_three() {
	[ "$(json '[.processes[] | select(.comm == "hold" and .passes > 2)] | length')" = 3 ]
}
check "they are tracked" wait_until 15 have_three
kill -KILL "$killed"
wait "$killed" 2>/dev/null

json . >all.json
for state in running exited killed exec; do
	check "there is one that is $state" \
		jq -e "[.processes[] | select(.state == \"$state\")] | length > 0" all.json
done
check "the report fits its schema" valid "$schema" all.json
"$sksm_report" --json --domain "$SKSM_DOMAIN" --by-mapping >sites.json
check "there are sites and mappings" jq -e \
	'[.processes[].sites | length] + [.processes[].mappings | length] | add >= 4' sites.json
check "they fit too" valid "$schema" sites.json
"$sksm_report" --json --domain "$SKSM_DOMAIN" --diagnose >diagnosis.json
check "the diagnosis fits its schema" valid "${schema/report/diagnosis}" diagnosis.json
check "a line of SKSM_REPORT fits the schema" valid "$schema#/\$defs/line" lines.jsonl
SKSM_DIR=$T/none "$sksm_report" --json --domain nobody-has-this >none.json
check "so does a report of nothing" valid "$schema" none.json
jq '.host.unheard_of = 1' all.json >wrong.json
valid "$schema" wrong.json >wrong.out
check "an undocumented key is noticed" test $? = 1
jq 'del(.processes[0].saved)' all.json >wrong.json
valid "$schema" wrong.json >wrong.out
check "a missing one too" test $? = 1

# Without privileges, where nothing is as it should be.
chmod 755 "$T"
ill() {
	SKSM_PRELOAD=$T/nowhere SKSM_DIR=$T/no/such/place SKSM_AGE_MS=soon "$@"
}
if [ "$(id -u)" = 0 ]; then
	drop=(setpriv --reuid 65534 --regid 65534 --clear-groups)
else
	drop=(env)
fi
ill "${drop[@]}" "$sksm_report" --json >ill.json 2>/dev/null
check "a report of a machine that can do less fits" valid "$schema" ill.json
for name in library directory settings; do
	check "the JSON says why there is no $name, and what to do" jq -e \
		".host.capabilities.$name | (.available | not) and .reason and .command" ill.json
done
ill "${drop[@]}" "$sksm_report" --check >ill.out 2>&1
check "--check: exit status 1 where merging cannot happen" test $? = 1
# Each "no" is followed by lines that are set in; the last one is the command.
check "each no ends with a command" awk '
	/^no / { if (open) bad = 1; open = 1; next }
	/^     / { open = 0; next }
	{ if (open) bad = 1 }
	END { exit bad || open }' ill.out
check "there are some" test "$(grep -c '^no ' ill.out)" -ge 3
check "the directory's command" grep -q "^     mkdir -p $T/no/such" ill.out
check "the setting's command" grep -q '^     unset SKSM_AGE_MS' ill.out
mkdir -m 777 "$T/open"
unset SKSM_ENGINE
SKSM_DIR=$T/open "$sksm_report" --check >open.out 2>&1
check "exit status 1 where the directory is open to all" test $? = 1
eval "$(sed -n "s,^     \(chmod .*$T/open\)$,\1,p" open.out)"
check "the command was the cure" test "$(stat -c %a "$T/open")" = 700
if [ "$(id -u)" = 0 ] && [ -w $ksm/run ]; then
	SKSM_DIR=$T/open "$sksm_report" --check >cured.out 2>&1
	check "exit status 0 where merging can happen" test $? = 0
	SKSM_MODE=estimate "$sksm_report" --check >estimate.out 2>&1
	check "exit status 1 where it was not asked for" test $? = 1
fi
finish
