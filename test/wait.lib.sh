# SPDX-License-Identifier: MIT
# shellcheck shell=bash

# How many times slower than usual this machine may be: a shared one, or an emulated one. What is
# waited for comes long before; only a failure takes so long.
slow=${SKSM_TEST_SLOW:-4}

# wait_until SECONDS COMMAND...: true as soon as the command is.
wait_until() {
	local end=$((SECONDS + $1 * slow + 1))

	shift
	while ! "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}
