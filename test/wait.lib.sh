# SPDX-License-Identifier: MIT
# shellcheck shell=bash

# How many times slower than usual this machine is: an emulated one.
slow=${SKSM_TEST_SLOW:-1}

# wait_until SECONDS COMMAND...: true as soon as the command is.
wait_until() {
	local end=$((SECONDS + $1 * slow + 1))

	shift
	while ! "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}
