# SPDX-License-Identifier: MIT
# test/bench/run: one tiny family; what it refuses; what it leaves behind.
. "$SKSM_TEST_SOURCE/test/lib.sh"
need_root
need_ksm
need_command jq
bench=("$source_dir/test/bench/run" --no-install --build "$build" --out "$T/out.json")
tiny=(--only unique --seconds 3 --scale 0.1 --repetitions 1 --mergers none,ksm-tuned,sksm)

# refused TEXT COMMAND...: exit status 2, and the word TEXT in what it says.
refused() {
	local text=$1

	shift
	"$@" >refused.out 2>&1
	check "refused: ${*: -1}" test $? = 2
	check "it says what is wrong: $text" grep -q -- "$text" refused.out
}

refused nowhere "${bench[@]}" --only unique,nowhere
refused nobody "${bench[@]}" --mergers nobody
refused positive "${bench[@]}" --scale 0
refused root setpriv --reuid 65534 --clear-groups -- "$python" "${bench[@]}" --only unique
check "refused calls write nothing" test ! -e out.json

# The results meet a jq condition.
meets() {
	jq -e "$1" "$T/out.json" >/dev/null
}

"${bench[@]}" "${tiny[@]}" >bench.out 2>bench.err ||
	fail "exit status $?: $(cat bench.out bench.err)"
pass "a family runs under three mergers"
check "the schema" meets '.schema == "sksm-bench/1"'
check "a family says where and when" meets \
	'.families.unique | .kernel and .commit and .date and .machine.cpus > 0'
check "a run for each merger" meets \
	'[.families.unique.runs[].merger] == ["none", "ksm-tuned", "sksm"]'
check "all runs went well" meets 'all(.families.unique.runs[]; .status == "ok")'
check "curves, work and frames" meets 'all(.families.unique.runs[];
	(.curve | length) >= 2 and .throughput > 0 and .frames.anon_pages > 0)'
check "ksmd worked where it was told to" meets '.families.unique.runs |
	map({ (.merger): .cpu.ksmd_s }) | add | .none == 0 and ."ksm-tuned" > 0'
check "the shim was there" meets '.families.unique.runs[] | select(.merger == "sksm") |
	.cpu.shim_s > 0 and .report.tracked > 0'
check "ratios to no merging" meets '.families.unique.summary.sksm.throughput_ratio.median > 0'
check "targets are judged" meets '.families.unique.verdicts.throughput.met | type == "boolean"'
check "the settings are as before" ksm_as_before
wait_until 5 nobody_runs "$sksm_pacer"
check "no pacer is left" nobody_runs "$sksm_pacer"

# What the library costs by itself.
refused round "$source_dir/test/bench/overhead" --build "$build" --rounds 0
"$source_dir/test/bench/overhead" --build "$build" --rounds 1 --only map4k >overhead.out 2>&1
check "overhead: exit status" test $? = 0
check "overhead: a ratio and a verdict" grep -Eq '^map4k .* [0-9.]+ .* (met|missed)$' overhead.out

# Other families of the file stay.
jq '.families.other = (.families.unique | .runs = [])' out.json >other.json && mv other.json out.json
start stopped "${bench[@]}" "${tiny[@]}"
ksmd_runs() {
	[ "$(cat $ksm/run)" = 1 ]
}
wait_until 30 ksmd_runs || fail "the run under ksm-tuned does not begin"
sleep 1
kill -TERM "$pid"
wait "$pid"
check "SIGTERM ends it" test $? = 143
check "the settings are as before" ksm_as_before
check "the workload is gone" nobody_runs "$build/test/bench/workloads/memory"
check "the file is as before" meets \
	'.families | has("other") and (.unique.runs | length) == 3'
finish
