# SPDX-License-Identifier: MIT
# Memory of which the program has said something to the kernel: it stays as it was meant, and
# nothing that is marked as sensitive is offered.
. "$SKSM_TEST_SOURCE/test/lib.sh"
side_by_side=1
provoke
was_tracked() {
	recorded "$1 was at work" "(.command | test(\"advice $1\$\")) and .passes > 1 and $2"
}
marks=.offered
[ -w $ksm/run ] || marks=.tracked
for mode in free dontfork guard mseal pkey name collapse; do
	compare $mode "$victims/advice" $mode
	was_tracked $mode '.tracked > 30000000'
done
for mode in wipeonfork dontdump mlock; do
	compare $mode "$victims/advice" $mode
	was_tracked $mode "$marks > 0 and .sensitive_skipped >= 16777216"
	check "$mode: all of it keeps its flag, nothing of it is mergeable" \
		grep -qx 'with ..: all, mergeable: none' $mode.out
done
grep -h '^pkey_alloc: \|^PR_SET_VMA: ' pkey.out name.out | grep -v ': ok' | sed 's/^/not here: /'
finish
