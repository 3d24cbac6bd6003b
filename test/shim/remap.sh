# SPDX-License-Identifier: MIT
# One mapping, merged in parts, is still one mapping for the program.
. "$SKSM_TEST_SOURCE/test/lib.sh"
side_by_side=1
provoke
for i in 1 2; do
	start "twin$i" env LD_PRELOAD="$shim" "$victims/hold" --bytes 1M --seconds 30
done
start other env LD_PRELOAD="$shim" "$victims/remap" 8 32M memfd
compare remap "$victims/remap" 3 32M
SKSM_INTERVAL_MS=400 compare halves "$victims/remap" halves
if [ "$(id -u)" = 0 ]; then
	mkdir -m 755 empty
	cd empty
	for want in chroot pids; do
		SKSM_DIR=$T/sksm compare $want "$victims/remap" 2 16M $want
	done
	cd ..
fi
# As before 6.11.
SKSM_FAULT=procmap_query:ENOTTY SKSM_FAULT_LOG=$T/query.log shim=$build/shim/libsksm_preload_fault.so \
	compare text "$victims/remap" 3 32M
check "there was nothing to ask" grep -q procmap_query query.log
wait_until 30 gone "$pid" || fail "the other copy does not end"
check "the other copy, too" test "$(grep -vc ': ok$\|^verified$\|^ready$' other.out)" = 0
both_were_offered() {
	[ "$(json '[.processes[] | select(.comm == "remap" and .offered > 0)] | length')" -ge 2 ]
}
! able offers || check "both had pages offered" both_were_offered
finish
