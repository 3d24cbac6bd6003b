# SPDX-License-Identifier: MIT
# A program of one thread pays nothing for ours: stdio stays unlocked, exec stays quick.
. "$SKSM_TEST_SOURCE/test/lib.sh"
provoke
compare stdio "$victims/stdio" check
median() {
	for _ in 1 2 3 4 5; do
		"$@"
	done | sort -n | sed -n 3p
}
plain=$(median "$victims/stdio" time)
shimmed=$(median preload "$victims/stdio" time)
echo "getc loop: $plain us plain, $shimmed us with the shim"
check "a getc loop is at most 1.3 times slower" test $((shimmed * 10)) -le $((plain * 13))
finish
