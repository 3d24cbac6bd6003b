# SPDX-License-Identifier: MIT
# Each ability is not there: the program runs as it would, and the record says what is missing.
SKSM_TEST_LIMIT=600
. "$SKSM_TEST_SOURCE/test/lib.sh"
side_by_side=1
shim=$build/shim/libsksm_preload_fault.so
provoke

# masked ABILITY CONDITION TEXT: the condition on the record of a program without the ability
masked() {
	local name="$1${SKSM_TRACKER:+-$SKSM_TRACKER}"

	rm -rf "$SKSM_DIR"
	export SKSM_FAULT=mask:$1 SKSM_FAULT_LOG=$T/$1.log
	compare "hold-$name" "$victims/hold" --bytes 8M --seconds 0.4 --write-half
	recorded "without $1: $3" "$2"
	compare "mapper-$name" "$victims/mapper" 3 1000 200
	compare "forker-$name" "$victims/remap" 0.5 4M
	check "$1 was asked for" grep -qx "$1" "$T/$1.log"
	unset SKSM_FAULT SKSM_FAULT_LOG
}

masked proc '.dormant | test("/proc")?' "dormant, for want of /proc"
by_digest='.dormant == null and .tracker == "digest" and .tracked > 4000000'
masked pagemap_scan "$by_digest" "digests are compared"
masked userfaultfd "$by_digest" "digests are compared"
masked wp_async "$by_digest" "digests are compared"
masked arm "$by_digest" "digests are compared"
export SKSM_TRACKER=wp
masked pagemap_scan '.dormant | test("PAGEMAP_SCAN")?' "dormant, for want of PAGEMAP_SCAN"
masked userfaultfd '.dormant | test("userfaultfd")?' "dormant, for want of userfaultfd"
masked wp_async '.dormant | test("WP_ASYNC")?' "dormant, for want of WP_ASYNC"
masked arm '.dormant | test("write-protection")?' "dormant: nothing can be armed"
unset SKSM_TRACKER
masked read '.dormant | test("process_vm_readv")?' "dormant: nothing can be read"
masked exclusive '.dormant | test("exclusive")?' "dormant: merges could not be told"
masked procmap_query '.dormant == null and .tracked > 4000000' "the map is read as text"
masked ksm '.dormant == null and .engine == "none" and .tracked > 4000000' "counted, not offered"
masked madv_merge '.dormant == null and .engine == "ksm" and .tracked > 4000000' "stock KSM"
finish
