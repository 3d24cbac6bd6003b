# SPDX-License-Identifier: MIT
#
# What the scripts share that run inside of a booted Debian.
# shellcheck shell=bash
failures=0

# check TEXT COMMAND...: says whether the command succeeds.
check() {
	local text=$1

	shift
	if "$@" >/host/check.log 2>&1; then
		echo "ok: $text"
	else
		echo "FAIL: $text ($*)"
		head -n 20 /host/check.log
		failures=$((failures + 1))
	fi
}

# wait_until SECONDS COMMAND...
wait_until() {
	local end=$((SECONDS + $1))

	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.2
	done
}
