# SPDX-License-Identifier: MIT
# sksm-report --openmetrics: a valid text with the numbers of the JSON, and a file replaced at once.
leaves_ksmd=1
. "$SKSM_TEST_SOURCE/test/lib.sh"
export SKSM_INTERVAL_MS=50 SKSM_AGE_MS=100 SKSM_ENGINE=none

valid() {
	"$python" "$source_dir/test/metrics.py" "$@"
}

# A name that needs care in a label.
cp "$victims/hold" "$T/a\"b\\c d"
start odd env LD_PRELOAD="$shim" "$T/a\"b\\c d" --bytes 20M --seconds 60
start even env LD_PRELOAD="$shim" "$victims/hold" --bytes 20M --seconds 60
even=$pid
LD_PRELOAD=$shim "$victims/hold" --bytes 20M --seconds 1 </dev/null >/dev/null
have_both() {
	[ "$(json '[.processes[] | select(.state == "running" and .duplicate >= 20000000)] | length')" = 2 ]
}
check "both have their duplicates" wait_until 15 have_both

report=("$sksm_report" --domain "$SKSM_DOMAIN")
"${report[@]}" --openmetrics >metrics.prom
check "exit status" test $? = 0
"${report[@]}" --json >report.json
check "valid, and as in the JSON" valid metrics.prom report.json
check "what has ended is not there" test "$(grep -c '^sksm_saved_bytes{' metrics.prom)" = 2
grep -F 'sksm_saved_bytes{' metrics.prom
check "a name with quotes" grep -qF 'comm="a\"b\\c d"' metrics.prom
"${report[@]}" --openmetrics --pid "$even" >one.prom
check "--pid" test "$(grep -c '^sksm_saved_bytes{' one.prom)" = 1
"$sksm_report" --openmetrics >all.prom 2>/dev/null
check "all domains" grep -qF "domain=\"$SKSM_DOMAIN\"" all.prom
for name in no_end twice comment late; do
	case $name in
	no_end) sed '$d' metrics.prom ;;
	twice) sed '/^sksm_saved_bytes{/{p}' metrics.prom ;;
	comment) sed '3i # nonsense' metrics.prom ;;
	late) sed 's/^# TYPE sksm_zero_bytes.*/# TYPE sksm_late gauge/' metrics.prom ;;
	esac >wrong.prom
	valid wrong.prom >wrong.out
	check "the checker finds: $name" test $? = 1
done
if command -v promtool >/dev/null; then
	promtool check metrics <metrics.prom >promtool.out 2>&1
	check "promtool agrees" test $? = 0 -a ! -s promtool.out
else
	echo "no promtool here: the checker of our own alone"
fi

# A file, as the node exporter's textfile collector reads it.
umask 077
mkdir "$T/textfile"
echo old >"$T/textfile/sksm.prom"
"${report[@]}" --openmetrics="$T/textfile/sksm.prom" >file.out
check "a file is written" valid "$T/textfile/sksm.prom"
check "and nothing to standard output" test ! -s file.out
check "readable by the collector" test "$(stat -c %a "$T/textfile/sksm.prom")" = 644
check "nothing else is left there" test "$(ls -A "$T/textfile")" = sksm.prom
"${report[@]}" --openmetrics="$T/nowhere/sksm.prom" 2>nowhere.err
check "a directory that is not there" test $? = 1
check "is named" grep -q "$T/nowhere/sksm.prom: No such file" nowhere.err
"${report[@]}" --openmetrics --finished 2>finished.err
check "--finished is refused" test $? = 2
"$sksm_report" --openmetrics --domain nobody-has-this >none.prom 2>/dev/null
check "of nothing: valid" valid none.prom
if [ -e /dev/full ]; then
	"${report[@]}" --openmetrics >/dev/full 2>full.err
	check "a full disk is an error" test $? = 1 -a -s full.err
fi
finish
