# SPDX-License-Identifier: MIT
# Programs that the preload does not reach, or must not work in: static ones and setuid ones, also
# where /etc/ld.so.preload brings us in.
. "$SKSM_TEST_SOURCE/test/lib.sh"
provoke
nobody_recorded() {
	[ ! -e "$SKSM_DIR" ] || [ "$(json "[.processes[] | select(.comm == \"$1\")] | length")" = 0 ]
}
if [ -x "$victims/hold_static" ]; then
	compare static "$victims/hold_static" --bytes 16M --seconds 0.5 --write-half
	check "a static program leaves no record" nobody_recorded hold_static
else
	echo "no static libc here"
fi
need_root
need_command setpriv unshare
cp "$victims/places" raised
chmod 4755 raised
as_nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups)
compare setuid "${as_nobody[@]}" "$T/raised" secure
grep -q '^secure: 1, preloaded: 0, euid: 0$' setuid.out || skip "setuid has no effect in $T"
check "LD_PRELOAD does not reach a setuid program" nobody_recorded raised

# An /etc of our own, in which the file is, for these programs alone.
cp -a /etc etc
echo "$shim" >etc/ld.so.preload
preloaded() {
	unshare -m bash -c 'mount --bind "$0/etc" /etc && exec "$@"' "$T" \
		env SKSM_DIR="$SKSM_DIR" "$@" </dev/null
}
export SKSM_DIR=$T/secure
preloaded "${as_nobody[@]}" "$T/raised" secure >raised.out 2>raised.err
check "a setuid program ends well" test $? = 0
check "the library is in it" said raised "secure: 1, preloaded: 1, euid: 0"
check "it says nothing" test ! -s raised.err
check "and does nothing" nobody_recorded raised
preloaded "$victims/places" secure >plain.out 2>plain.err
check "another program ends well" test $? = 0
check "the library is in it, too" said plain "secure: 0, preloaded: 1, euid: 0"
recorded "and works there" '.comm == "places" and .tracked >= 16777216 and .passes > 1'
finish
