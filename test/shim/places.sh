# SPDX-License-Identifier: MIT
# Programs that go somewhere else: another root, other namespaces.
. "$SKSM_TEST_SOURCE/test/lib.sh"
side_by_side=1
need_root
provoke
at_work() {
	recorded "$1 was at work" \
		"(.command | test(\"places $1\")) and .tracked >= 16777216 and .passes > 1"
}
mkdir -m 755 root root/tmp root/run
compare chroot "$victims/places" chroot "$T/root"
at_work chroot
recorded "what was mapped in the new root was digested" \
	'(.command | test("places chroot")) and .digested >= 25165824'
check "nothing of ours is in the new root" test -z "$(find root -mindepth 2)"
if unshare -n true 2>/dev/null; then
	compare net "$victims/places" net
	at_work net
fi
if [ -e /proc/self/timens_offsets ] && unshare -T true 2>/dev/null; then
	for seconds in 100000 -30; do
		export SKSM_DIR=$T/time$seconds
		compare "time$seconds" "$victims/places" time $seconds
		at_work time
		check "time $seconds: the clock could be set" said "time$seconds" "the clock was set: 1"
	done
else
	echo "no time namespaces here"
fi
finish
