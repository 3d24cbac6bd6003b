# SPDX-License-Identifier: MIT
# An mremap that is the program's own mistake stays one, and marks nothing where nothing is offered.
. "$SKSM_TEST_SOURCE/test/lib.sh"
export SKSM_INTERVAL_MS=3 SKSM_AGE_MS=0 SKSM_THRESHOLD=64K SKSM_CPU_PERCENT=100 SKSM_MODE=estimate
compare mistake "$victims/remap" mistake
check "it is EFAULT" said mistake "over two mappings: Bad address"
check "nothing was marked" said mistake "marked: 0"
check "errno is left alone by success" said mistake "over one: ok, Argument list too long"
recorded "it was tracked" '.comm == "remap" and .tracked > 30000000'
finish
