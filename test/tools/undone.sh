# SPDX-License-Identifier: MIT
# sksm-report --diagnose: whose merges are undone by writes, how many, how soon.
. "$SKSM_TEST_SOURCE/test/lib.sh"
need_root
need_ksm
export SKSM_INTERVAL_MS=50 SKSM_AGE_MS=100 SKSM_CPU_PERCENT=100 SKSM_ENGINE=ksm
report=("$sksm_report" --domain "$SKSM_DOMAIN")
ksmd_on 4000
for name in one two; do
	start $name env LD_PRELOAD="$shim" "$victims/refcounts"
done
# What each process has seen of it, not what the kernel counts.
all_merged() {
	[ "$(json '[.processes[] | select(.offered >= 33000000 and .pending == 0 and
		.history[-1].merged >= 33000000)] | length')" = 2 ]
}
check "all is merged" wait_until 30 all_merged
"${report[@]}" --diagnose --json >before.json
check "nothing is undone so far" jq -e '.undone == { count: 0, cost_ns: 0, sites: [] }' before.json
check "nor spoken of" test "$("${report[@]}" --diagnose | grep -c 'undone')" = 0
sleep 1
# Or it merges a page anew before the write to it is seen, which then looks as if there was none.
echo 0 >$ksm/run
kill -USR1 "$pid"
wait_until 10 said two walked || fail "it does not walk"
undone() {
	"${report[@]}" --diagnose --json >undone.json && jq -e '.undone.count >= 3900' undone.json
}
check "the walk undid merges" wait_until 20 undone
check "as many as there are objects" jq -e '.undone.count <= 4096' undone.json
check "of the objects alone" jq -e \
	'[.undone.sites[].where | contains("make_objects") and contains("refcounts.c")] == [true]' undone.json
check "which are all" jq -e '.undone.sites[0] | .count == $all and .kind == "site" and .processes == 2' \
	--argjson all "$(jq .undone.count undone.json)" undone.json
check "not at once, and since they run" jq -e --argjson ran "$SECONDS" \
	'.undone.sites[0].seconds_after | . >= 1 and . <= $ran + 1' undone.json
check "it has a price" jq -e '.undone | .cost_ns > .count * 1000' undone.json
check "fits the schema" "$python" "$source_dir/test/schema.py" "$source_dir/docs/diagnosis.schema.json" undone.json
"${report[@]}" --diagnose >words
check "in words" grep -q '^ *[34][0-9]* in memory of .*(refcounts\.c:[0-9]*) < make_objects < main' words
"${report[@]}" --by-site --json >sites.json
check "by site the same" test "$(jq '[.processes[].sites[].cow_breaks] | add' sites.json)" -ge 3900
finish
