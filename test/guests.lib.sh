# SPDX-License-Identifier: MIT
#
# Virtual machines that run test/compat/guest.c: NAME.console is what they say.
# shellcheck shell=bash

# rights COUNT NAME...: each has said so often that its memory is right.
rights() {
	local count=$1 name

	shift
	for name; do
		[ "$(tr -d '\r' <"$name.console" | grep -cx right)" -ge "$count" ] || return 1
	done
}

# go_on NAME...: they say "right" three times more, and never WRONG.
go_on() {
	local name before

	for name; do
		before=$(tr -d '\r' <"$name.console" | grep -cx right)
		check "$name goes on" wait_until 60 rights $((before + 3)) "$name"
		check "$name: never wrong" eval "! grep -aq 'WRONG\|panic\|Oops' $name.console"
	done
}
