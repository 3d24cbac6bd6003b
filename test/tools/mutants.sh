# SPDX-License-Identifier: MIT
# docs/hazards.md and test/mutants: each patch applies to this tree, is named in the row of its test,
# and each row that names a test names a patch, or says why there is none.
leaves_ksmd=1
. "$SKSM_TEST_SOURCE/test/lib.sh"
need_command patch
mutants=$source_dir/test/mutants

: >named
# see_row HAZARD TESTS SEEN: one row of the tables.
see_row() {
	local hazard=$1 tests=$2 seen=$3 name test

	for name in $(grep -oE '`[a-z0-9-]+`' <<<"$seen" | tr -d '`'); do
		echo "$name" >>named
		test=$(sed -n 's/^Test: //p' "$mutants/$name.patch" 2>/dev/null)
		[ -n "$test" ] || { flunk "$hazard: no mutant '$name'"; continue; }
		grep -qE "(^|[^a-z_])${test%.*}[./]${test#*.}([^a-z_]|\$)" <<<"$tests" ||
			flunk "$hazard: $name is for $test, and the row names $tests"
	done
	grep -qE '`[a-z0-9-]+`|^no care needed: |^no mutant: |^none$' <<<"$seen" ||
		flunk "$hazard: neither a mutant nor 'no care needed: ' nor 'no mutant: '"
	[ "$seen" != none ] || grep -qE '^none' <<<"$tests" || flunk "$hazard: a test, but no mutant"
	for test in $(grep -oE '\<(shim|e2e|real|stress|fault|fuzz|tools)/[a-z0-9_]+' <<<"$tests"); do
		[ -e "$source_dir/test/$test.sh" ] || [ -x "$source_dir/test/$test" ] ||
			flunk "$hazard: no test $test"
	done
	for test in $(grep -oE '\<unit\.[a-z0-9_]+' <<<"$tests"); do
		[ -e "$source_dir/test/unit/${test#*.}.c" ] || flunk "$hazard: no test $test"
	done
}

rows=0
while IFS='|' read -r nothing hazard care tests seen rest; do
	case $hazard in ''|' hazard '|---*) continue ;; esac
	rows=$((rows + 1))
	read -r hazard <<<"$hazard"
	read -r tests <<<"$tests"
	read -r seen <<<"$seen"
	[ -z "$nothing$rest" ] && [ -n "$care" ] && [ -n "$seen" ] ||
		{ flunk "$hazard: not four columns"; continue; }
	see_row "$hazard" "$tests" "$seen"
done < <(grep '^|' "$source_dir/docs/hazards.md")
check "the tables were found" test $rows -gt 80

for patch in "$mutants"/*.patch; do
	name=$(basename "$patch" .patch)
	grep -qx "$name" named || flunk "$name: no row of docs/hazards.md names it"
	grep -q '^Hazard: .' "$patch" || flunk "$name: no line 'Hazard: '"
	(cd "$source_dir" && patch -s -N -F 0 -p1 --dry-run <"$patch" >"$T/patch.out" 2>&1) ||
		flunk "$name does not apply: $(head -n 3 patch.out)"
done
mutants_named=$(sort -u named | wc -l)
check "$mutants_named mutants in $rows rows" test "$mutants_named" -gt 90
check "a mutant that is not there is told" test \
	"$("$mutants/run" nonsense 2>&1)" = "test/mutants/run: no mutant 'nonsense' in test/mutants"
finish
