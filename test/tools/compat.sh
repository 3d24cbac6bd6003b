# SPDX-License-Identifier: MIT
# test/compat/run itself: it is content with the shim, and sees each thing that a library breaks.
. "$SKSM_TEST_SOURCE/test/lib.sh"
need_command jq

mkdir cases
cat >cases/memory.sh <<'CASE'
quick=1
tracks=python
limit=30
version() { echo "a case for the test"; }
work() {
	echo "begins" >&2
	python3 -c '
import mmap, sys, time
maps = [mmap.mmap(-1, 1 << 20) for _ in range(4)]
for number, one in enumerate(maps):
    one[:] = bytes([number + 1]) * len(one)
more = [mmap.mmap(-1, 1 << 20) for _ in range(2)]
time.sleep(0.5)
print([one.read().count(number + 1) for number, one in enumerate(maps)])
sys.exit(3)'
}
CASE
echo 'without "needs what nobody has"' >cases/other.sh
# The harness takes the lock for itself, and this test has it.
export SKSM_TEST_CASES=$T/cases SKSM_TEST_LOCKED=1

# sweep NAME COUNTS [VAR=VALUE]...: the last line is COUNTS, and the exit status fits.
sweep() {
	local name=$1 counts=$2 status=0 expected=0

	shift 2
	case $counts in *" 0 different"*) ;; *) expected=1 ;; esac
	env "$@" "$source_dir/test/compat/run" --quick --build "$build" >"$T/$name.out" 2>&1 || status=$?
	if [ $status = $expected ] && [ "$(tail -n 1 "$T/$name.out")" = "$counts" ]; then
		pass "$name: $counts"
	else
		flunk "$name: exit status $status: $(cat "$T/$name.out")"
	fi
}

broken() {
	sweep "$1" "0 same, 1 different, 1 skipped" SKSM_TEST_SHIM="$build/test/plugins/broken.so" \
		BREAK="$1" SKSM_TEST_LIMIT=$([ "$1" = hang ] && echo 3 || echo 30)
	check "$1: the difference is shown" grep -q -- "$2" "$T/$1.out"
}

sweep shim "1 same, 0 different, 1 skipped"
check "what is skipped says why" grep -qE '^other +skipped: needs what nobody has$' shim.out
broken nothing 'was not at work'
broken memory '^+.1048576, .*1048575.$'
broken status '^+exit status 42'
broken crash '^+exit status 139'
broken hang '^+does not end within 3 s'
broken noise '^+something else'
broken linger '^+left running: lingering'
finish
