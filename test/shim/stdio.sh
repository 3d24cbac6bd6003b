# SPDX-License-Identifier: MIT
# A program of one thread pays nothing for ours: stdio stays unlocked (test/bench/overhead: getc).
. "$SKSM_TEST_SOURCE/test/lib.sh"
provoke
compare stdio "$victims/stdio"
check "stdio is unlocked" grep -q 'locked 0, single-threaded 1' stdio.out
recorded "it was tracked" '.comm == "stdio" and .tracked > 60000000'
finish
