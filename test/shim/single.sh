# SPDX-License-Identifier: MIT
# What only a program of one thread may do.
. "$SKSM_TEST_SOURCE/test/lib.sh"
side_by_side=1
provoke
compare single "$victims/single"
check "the plain run could do it" grep -q 'unshare(CLONE_NEWUSER): ok' single-plain.out
recorded "it was tracked" '.comm == "single" and .tracked > 60000000'
compare signals "$victims/signals"
finish
