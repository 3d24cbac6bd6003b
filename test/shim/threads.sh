# SPDX-License-Identifier: MIT
# Threads map and unmap while others fork and signals interrupt.
. "$SKSM_TEST_SOURCE/test/lib.sh"
side_by_side=1
provoke
for i in 1 2; do
	compare "threads$i" "$victims/threads" 3
done
recorded "it was tracked" '.comm == "threads" and .passes > 1'
finish
