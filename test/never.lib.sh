# SPDX-License-Identifier: MIT
#
# What smaps says of the mappings of a process that are marked as nobody else's business.
# shellcheck shell=bash

# marked PID: "MARKED MERGEABLE MERGED OFFERED", counted in mappings: those with lo, dd, wf, io or
# pf; of these, those with mg; of these and the marked ones, those with merged pages; and all with
# mg. The library's own memory is marked too.
marked() {
	awk '
	/^[0-9a-f]+-[0-9a-f]+ / { ksm = 0 }
	/^KSM:/ { ksm = $2 }
	/^VmFlags:/ {
		line = $0 " "
		is_marked = line ~ / (lo|dd|wf|io|pf) /
		is_offered = line ~ / mg /
		marked += is_marked
		both += is_marked && is_offered
		merged += is_marked && ksm > 0
		offered += is_offered
	}
	END { print marked + 0, both + 0, merged + 0, offered + 0 }' "/proc/$1/smaps"
}

# never_offered TEXT PID LEAST: at least LEAST mappings are marked, none of them is mergeable.
never_offered() {
	local all both merged offered

	read -r all both merged offered < <(marked "$2")
	[ "${all:-0}" -ge "$3" ] || { flunk "$1: $all mappings are marked, not $3"; return; }
	[ "$both$merged" = 00 ] ||
		{ flunk "$1: of $all marked mappings $both are mergeable, $merged merged"; return; }
	pass "$1: $all mappings are marked, none is mergeable; $offered others are"
}

is_offered() {
	local all both merged offered

	read -r all both merged offered < <(marked "$1")
	[ "${offered:-0}" -gt 0 ]
}
