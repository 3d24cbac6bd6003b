# SPDX-License-Identifier: MIT
# What is merged, saved and undone, by the place in the program that made the memory.
. "$SKSM_TEST_SOURCE/test/e2e.lib.sh"
need_root
need_ksm
export SKSM_INTERVAL_MS=100 SKSM_AGE_MS=200 SKSM_CPU_PERCENT=50
for name in one two; do
	start $name "$sksm_run" -- "$victims/sites" --seconds 300
done
for name in one two; do
	wait_until 20 said $name ready || fail "$name does not get ready"
done

# total EXPRESSION: of both, by site and mapping.
total() {
	"$sksm_report" --by-mapping --json --domain "$SKSM_DOMAIN" >"$T/sites.json" 2>/dev/null &&
		jq -r "$1" "$T/sites.json"
}
plain='[.processes[].sites[] | select(.label | contains("make_plain"))]'
merged() {
	[ "$(total "$plain | map(.merged) | add / 1048576 > 7.9")" = true ]
}
wait_until 40 merged || fail "not merged: $(total "$plain | map(.merged)" | tr '\n' ' ')"
pass "what make_plain made is merged"
# 8 MiB of 28 equal copies of 4 MiB and more are in as many frames as one copy: the most is saved.
check "and saves nearly all of it" test "$(total "$plain | map(.saved) | add / 1048576 > 6.5")" = true

sums() {
	local key part

	for part in sites mappings; do
		for key in merged zero saved; do
			[ "$(total "[.processes[] | .$key == ([.$part[].$key] | add)] | all")" = true ] ||
				{ echo "$key by $part"; return 1; }
		done
	done
}
check "by the kernel's count, the parts sum up to the processes" sums
check "and it is the kernel's count" test "$(total '[.processes[].measured] | all')" = true
for key in tracked resident duplicate offered writes_seen cow_breaks; do
	check "$key sums up" test "$(total "[.processes[] | .$key == ([.sites[].$key] | add)] | all")" = true
done

# A write undoes merges where it is made.
kill -USR1 $(total '.processes[0].pid')
undone() {
	[ "$(total "$plain | map(.cow_breaks) | add > 1000")" = true ]
}
check "merges undone are told where they were" wait_until 20 undone
check "and nowhere else" test "$(total '([.processes[].sites[].cow_breaks] | add) - ('"$plain"' | map(.cow_breaks) | add) < 100')" = true
"$sksm_report" --by-site --sort undone --domain "$SKSM_DOMAIN" >undone
check "the culprit comes first" grep -q make_plain <(sed -n 2p undone)
kill "${pids[@]}"
wait_until 15 nobody_runs "$victims/sites" || fail "the programs do not end"
sleep 1
check "what ended tells the same of itself" test "$(total '[.processes[] | .saved == ([.sites[].saved] | add) and .merged == ([.sites[].merged] | add)] | all')" = true
pids=()
machine_is_as_before
finish
