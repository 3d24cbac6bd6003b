# SPDX-License-Identifier: MIT
#
# bash lib.sh CASE WHAT: run one part of a case, which is a file that sets and defines
#	need		what it needs, by calls of the functions below, when it is sourced
#	tracks=REGEX	the processes in which the shim must have been at work; empty: none
#	limit=SECONDS	for one run
#	quick=1		part of the short form; $COMPAT_QUICK is set then
#	version()	one line: what is tested
#	work()		the run: its output, its exit status and what it leaves behind are compared
#	normalise()	a filter for what differs from run to run; as little as possible
# shellcheck shell=bash disable=SC2034
set -uo pipefail

# Scale work: `amount FULL QUICK`.
amount() {
	[ -n "${COMPAT_QUICK:-}" ] && echo "$2" || echo "$1"
}

without() {
	echo "$*"
	exit 77
}

need_command() {
	local name

	for name; do
		command -v "$name" >/dev/null || without "needs $name"
	done
}

need_file() {
	local name

	for name; do
		[ -e "$name" ] || without "needs $name"
	done
}

need_root() {
	[ "$(id -u)" = 0 ] || without "needs root"
}

. "$(dirname "${BASH_SOURCE[0]}")/../wait.lib.sh"

# Where programs refuse to be root. What it writes goes below a directory made by `user_dir`.
as_user() {
	if [ "$(id -u)" = 0 ]; then
		setpriv --reuid 65534 --regid 65534 --clear-groups -- env HOME="$PWD" "$@"
	else
		"$@"
	fi
}

user_dir() {
	mkdir -p "$1"
	[ "$(id -u)" != 0 ] || chown 65534:65534 "$1"
}

# A free port on the loopback interface, the same in all runs of a case where it stays free.
port_of() {
	echo $((20000 + $(echo "$1" | cksum | cut -d' ' -f1) % 10000))
}

# step TEXT COMMAND...: the text, the command's output and its status, which ought to be 0.
step() {
	exits 0 "$@"
}

# exits STATUS TEXT COMMAND...: likewise, but another status is right. Where a run without the shim
# says UNEXPECTED, the case does not work and compares nothing.
exits() {
	local expected=$1 status

	shift
	echo "== $1"
	shift
	"$@"
	status=$?
	[ $status = "$expected" ] && echo "-> $status" || echo "-> $status, UNEXPECTED"
}

quick=
tracks=
limit=120
normalise() { cat; }
version() { echo "version unknown"; }

. "$1"
case $2 in
need) ;;
limit|tracks|quick) echo "${!2}" ;;
*) "$2" ;;
esac
