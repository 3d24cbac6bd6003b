# SPDX-License-Identifier: MIT
# Where root looks for records: the runtime directories of users and services, /tmp and private
# ones of services; and what a user plants there is not taken for somebody else's.
. "$SKSM_TEST_SOURCE/test/lib.sh"
need_root
need_command setpriv

uid=60124
mkdir lib
cp "$shim" "$victims/hold" lib
user() {
	setpriv --reuid $uid --regid $uid --clear-groups -- "$@"
}
made=()
# Names in /tmp and /run, which only this test has.
make_place() {
	[ ! -e "$1" ] || fail "$1 is there"
	mkdir -m "$2" "$1"
	made+=("$1")
}
forget_places() {
	local status=$?

	[ ${#made[@]} = 0 ] || rm -rf "${made[@]}"
	(exit $status)
	clean_up
}
trap forget_places EXIT

# seen DIR: does root's report, without SKSM_DIR, have a process of that directory?
seen() {
	env -u SKSM_DIR "$sksm_report" --json --domain "$SKSM_DOMAIN" 2>seen.err |
		jq -e --arg dir "$1" '.processes | any(.dir == $dir)' >/dev/null
}
hold_in() {
	user env LD_PRELOAD="$T/lib/libsksm_preload.so" SKSM_DIR="$1" SKSM_INTERVAL_MS=3 \
		"$T/lib/hold" --bytes 4M --seconds 0.2 >hold.out 2>&1 || fail "hold"
}

service=/run/sksm-test-$$
make_place $service 755
chown $uid $service
hold_in $service/sksm
check "the runtime directory of a service" seen $service/sksm

private=/tmp/systemd-private-sksm-test-$$
make_place $private 700
mkdir -m 1777 $private/tmp
# As the service sees it, its directory is /tmp itself.
chmod 755 $private
hold_in $private/tmp/sksm-$uid
chmod 700 $private
check "the private /tmp of a service" seen $private/tmp/sksm-$uid

# A user makes the same names.
planted=/tmp/systemd-private-sksm-plant-$$
[ ! -e $planted ] || fail "$planted is there"
made+=("$planted")
user mkdir -p -m 755 $planted/tmp
hold_in $planted/tmp/sksm-$uid
check "one that a user made is passed over" eval "! seen $planted/tmp/sksm-$uid"
rm -rf $planted
user ln -s $private $planted
check "and a link to a real one" eval "! seen $planted/tmp/sksm-$uid"
make_place /tmp/sksm-0$uid 700
chown $uid /tmp/sksm-0$uid
hold_in /tmp/sksm-0$uid
check "a number with zeros in front is passed over" eval "! seen /tmp/sksm-0$uid"
for i in {4100000000..4100000299}; do
	make_place "/tmp/sksm-$i" 700
	chown $uid "/tmp/sksm-$i"
done
check "of many with others' numbers, the runtime directory is seen" seen $service/sksm
check "they are not all named" \
	test "$(grep -c 'sksm-41.*: belongs to another user' seen.err)" -lt 200
rmdir /tmp/sksm-41*
chown -R 60125 $service/sksm
chown 60125 $private/tmp/sksm-$uid
check "a directory that is another user's than its name says" eval "! seen $private/tmp/sksm-$uid"
check "it is said" grep -q "sksm-$uid: belongs to another user" seen.err
finish
