# SPDX-License-Identifier: MIT
# What is estimated from outside, without anything preloaded, and what is then saved: within 10 %.
. "$SKSM_TEST_SOURCE/test/e2e.lib.sh"
need_root
need_ksm

# all COMMAND...: three equal ones, one with a content of its own many times, one of zeros, a
# unique one.
all() {
	start_holders 3 "$@" --bytes 48M --pidfile PIDFILE
	for content in repeat zero unique; do
		names+=("$content")
		start "$content" "$@" --bytes 16M --content $content --seed 3 \
			--pidfile "$T/$content.pid"
	done
	wait_until 40 have_pidfiles "${names[@]}" || fail "the programs are not ready"
	# shellcheck disable=SC2207
	holders=($(for i in "${names[@]}"; do cat "$T/$i.pid"; done))
}

all "$victims/hold" --seconds 300
setpriv --reuid 65534 --regid 65534 --clear-groups "$sksm_report" --estimate --pid "${holders[0]}" \
	2>/dev/null && flunk "another user's programs are read"
"$sksm_report" --estimate --json --pid "${holders[@]}" >estimate.json || fail "--estimate"
check "go" jq -e .go estimate.json
estimated=$(jq .total.saved estimate.json)
end_holders
rm -f "$T"/*.pid

all "$sksm_run" -- "$victims/hold" --seconds 300
savings_grow 40 97
saved=$("$frames" "${holders[@]}" | jq .saved_bytes)
check "estimated $estimated, saved $saved: within 10 %" within 10 "$estimated" "$saved"
# What is merged already is no saving any more.
"$sksm_report" --estimate --json --interval 0.5 --pid "${holders[@]}" >merged.json
check "merged already" jq -e ".total.merged_already > $saved and .total.saved < $saved / 10" merged.json ||
	jq -c .total merged.json
end_holders
machine_is_as_before
finish
