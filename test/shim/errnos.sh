# SPDX-License-Identifier: MIT
# mmap, mmap64, munmap and mremap: results and errno for good and bad arguments.
. "$SKSM_TEST_SOURCE/test/lib.sh"
provoke
for i in 1 2 3; do
	compare "errnos$i" "$victims/errnos"
done
check "the victim did its calls" test "$(wc -l <errnos1.out)" -gt 60
SKSM_MODE=off compare errnos_off "$victims/errnos"
SKSM_MODE=estimate compare errnos_estimate "$victims/errnos"
finish
