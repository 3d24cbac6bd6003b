# SPDX-License-Identifier: MIT
# Memory that the program guards in ways of its own: guard regions, mseal, protection keys.
. "$SKSM_TEST_SOURCE/test/lib.sh"
side_by_side=1
provoke
for kind in guard seal pkey; do
	for tracker in wp digest; do
		SKSM_TRACKER=$tracker compare $kind-$tracker "$victims/guarded" $kind
	done
	if grep -qx without $kind-wp.out; then
		echo "not here: $kind (the kernel or the CPU has none)"
	else
		recorded "$kind: it was tracked and offered" \
			".comm == \"guarded\" and (.command | endswith(\" $kind\")) and .tracker == \"wp\" and .duplicate > 1000000"
	fi
done
finish
