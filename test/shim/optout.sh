# SPDX-License-Identifier: MIT
# Programs that mark memory as mergeable themselves, that take it back, and that lock all they have.
. "$SKSM_TEST_SOURCE/test/lib.sh"
side_by_side=1
provoke
for mode in own late regret decline any; do
	compare $mode "$victims/optout" $mode
	recorded "$mode was at work" \
		"(.command | test(\"optout $mode\$\")) and .tracked >= 16777216 and .passes > 1"
done
# The plain runs say what the kernel does; these that the test is about what it should be about.
if [ -d $ksm ]; then
	for mode in own late; do
		check "$mode: marked memory stays marked" said $mode "after many writes, mergeable: all"
	done
	for mode in regret decline; do
		check "$mode: nothing is marked again" said $mode "later, mergeable: none"
	done
	recorded "decline had offers until then" \
		'(.command | test("optout decline$")) and .duplicate >= 16000000'
fi

need_root
need_command setpriv
ulimit -l 8192
locks_all() {
	compare "$1" setpriv --reuid 65534 --regid 65534 --clear-groups "$victims/optout" lockall
	check "$1: a small program may lock all of it" said_times "$1" 2 "mlockall: ok"
}
# A directory that it cannot reach: no record is made, and nothing may stay reserved.
locks_all unrecorded
chmod 711 .
install -d -m 700 -o 65534 -g 65534 nobody
export SKSM_DIR=$T/nobody
locks_all lockall
recorded "the record says so" \
	'.comm == "optout" and .dormant != null and (.dormant | test("locks all"))'
finish
