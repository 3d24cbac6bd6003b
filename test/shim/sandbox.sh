# SPDX-License-Identifier: MIT
# Seccomp filters that know none of our calls.
. "$SKSM_TEST_SOURCE/test/lib.sh"
side_by_side=1
provoke
for how in tsync thread strict bare fork again listener; do
	compare $how "$victims/sandbox" $how
	recorded "$how was tracked until then" \
		"(.command | test(\"sandbox $how\$\")) and .tracked > 60000000"
done
# A question is no filter.
compare query "$victims/sandbox" query
recorded "a query leaves us awake" \
	'(.command | test("sandbox query$")) and .tracked > 60000000 and .dormant == null'
compare ownuffd "$victims/ownuffd"
# The same through syscall(), and copies of more than a page into memory that was partly merged.
for how in raw copy half; do
	compare ownuffd_$how "$victims/ownuffd" 500 $how
	recorded "ownuffd_$how was at work" \
		".comm == \"ownuffd\" and (.command | test(\" $how\$\")) and .passes > 1"
done
SKSM_INTERVAL_MS=1000 compare ownuffd_slow "$victims/ownuffd" 100
recorded "ownuffd was tracked" '.comm == "ownuffd" and .tracked > 0'
finish
