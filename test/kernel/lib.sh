# SPDX-License-Identifier: MIT
#
# What test/kernel/build and test/kernel/fetch share.
# shellcheck shell=bash

# download PACKAGE: its current version, from the Debian archive into this directory. apt checks it
# against the signed list of the archive.
download() {
	{ apt-get download -qq "$1" || { apt-get update -qq && apt-get download -qq "$1"; }; } 2>&1 |
		grep -v unsandboxed >&2
	return "${PIPESTATUS[0]}"
}
