# SPDX-License-Identifier: MIT
# Each harness for a few seconds; test/fuzz/run --seconds N for longer.
SKSM_TEST_LIMIT=600
leaves_ksmd=1
. "$SKSM_TEST_SOURCE/test/lib.sh"
output=$("$source_dir/test/fuzz/run" --build "$build/fuzz" --seconds 2)
status=$?
echo "$output"
[ $status != 77 ] || skip "${output#*: }"
check "nothing was found" test $status = 0
check "each harness ran" test "$(grep -Ec '^ok: .*: [0-9]{2,} inputs' <<<"$output")" = \
	"$(find "$source_dir/test/fuzz" -name '*.c' | wc -l)"
finish
