# SPDX-License-Identifier: MIT
# A mapping of 1 TiB with a few pages: looking at it costs neither memory nor time.
. "$SKSM_TEST_SOURCE/test/lib.sh"
provoke
compare sparse "$victims/sparse"
check "the page tables stay small" said sparse "page tables: small"
recorded "all of it was watched" \
	'.comm == "sparse" and .tracked >= 1099511627776 and .resident < 16777216 and .passes > 4'
finish
