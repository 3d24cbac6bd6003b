# SPDX-License-Identifier: MIT
# The distribution's python's own tests of what we interpose on.
SKSM_TEST_LIMIT=600
. "$SKSM_TEST_SOURCE/test/lib.sh"
$python -c 'import test.test_mmap' 2>/dev/null || skip "needs the testsuite of $python"
export SKSM_INTERVAL_MS=20 SKSM_AGE_MS=50 SKSM_THRESHOLD=64K

# Which tests fail, are skipped or pass; times and addresses differ.
run_tests() {
	local name=$1

	shift
	mkdir "$name"
	(cd "$name" && timeout 250 env --default-signal=INT,QUIT TMPDIR="$T/$name" "$@" $python -m test -v "$module" >../"$name.log" 2>&1
	 echo "status $?" >>../"$name.log")
	sed -nE 's/^(test[A-Za-z0-9_]* \([A-Za-z0-9_.]*\)).*(ok|FAIL|ERROR|skipped.*)$/\1 \2/p; s/^(status .*)/\1/p;
		 s/^(Total tests: .*)/\1/p; s/^(ERROR|FAIL): (.*)/\1 \2/p' "$name.log" |
		sort >"$name.results"
}

for module in test_mmap test_subprocess test_threading test_os; do
	# Side by side: they sleep most of the time. A shell's background ignores SIGINT.
	run_tests "plain-$module" &
	run_tests "shim-$module" LD_PRELOAD="$shim"
	wait $!
	check "$module ran" test "$(grep -c ' ok' "plain-$module.results")" -gt 15
	if ! diff "plain-$module.results" "shim-$module.results" >difference; then
		cat difference
		grep -A 15 -E '^(ERROR|FAIL): ' "shim-$module.log" | head -n 60
		fail "$module: other results with the shim"
	fi
	pass "$module: the same results with and without the shim"
done
recorded "python" '(.comm | test("python")) and (.command | test("-m test")) and .passes > 0'
finish
