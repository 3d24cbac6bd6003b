# SPDX-License-Identifier: MIT
#
# What the shell tests share. A test sources this file, checks things, and ends with `finish`,
# which fails where nothing was checked. Whatever a test started, mounted or set is undone when
# it ends, however it ends.
# shellcheck shell=bash disable=SC2034
set -uo pipefail

# ksmd belongs to the whole machine: tests of other checkouts wait for one another as well. A test
# that says leaves_ksmd=1 before it sources this file has nothing to do with ksmd and pacers, not
# even a page that it marks mergeable: it waits for nobody, and finds them as they are. The limit
# ends a test by SIGTERM, so that it cleans up; ctest knows SIGKILL only.
if [ -z "${SKSM_TEST_LOCKED:-}" ]; then
	lock=()
	[ "$(id -u)" != 0 ] || [ -n "${leaves_ksmd:-}" ] || lock=(flock --close /run/sksm-test.lock)
	exec env SKSM_TEST_LOCKED=1 "${lock[@]}" \
		timeout -k 10 "${SKSM_TEST_LIMIT:-400}" bash "$0" "$@"
fi

# own_run=1: with mounts of its own, so that it can have a /run where nobody else's pacer and domains
# are: mount -t tmpfs -o mode=755 none /run || skip "no mounts"
if [ -n "${own_run:-}" ] && [ "$(id -u)" = 0 ] && [ -z "${SKSM_TEST_OWN_RUN:-}" ]; then
	exec env SKSM_TEST_OWN_RUN=1 unshare -m bash "$0" "$@"
fi

build=${SKSM_TEST_BUILD:?the build directory}
source_dir=${SKSM_TEST_SOURCE:?the source directory}
shim=${SKSM_TEST_SHIM:-$build/shim/libsksm_preload.so}
sksm_run=$build/tools/sksm-run
sksm_report=$build/tools/sksm-report
sksm_pacer=$build/tools/sksm-pacer
frames=$build/test/frames
victims=$build/test/victims
python=/usr/bin/python3
ksm=/sys/kernel/mm/ksm

unset LD_PRELOAD XDG_RUNTIME_DIR
for name in ${!SKSM_*}; do
	case $name in SKSM_TEST_*) ;; *) unset "$name" ;; esac
done
export LC_ALL=C.UTF-8
# test/masks: an ability is taken off.
[ -z "${SKSM_TEST_FAULT:-}" ] || export SKSM_FAULT=$SKSM_TEST_FAULT

T=$(mktemp -d "${TMPDIR:-/tmp}/sksm-test-XXXXXX")
chmod 755 "$T"
# As root the report knows other directories of the machine too, so the domain is our own as well.
export SKSM_DIR=$T/sksm SKSM_DOMAIN=test-$$
cd "$T" || exit 1

checks=0
failures=0
pids=()

# The test cannot go on.
fail() {
	echo "FAIL: $*"
	exit 1
}

# The test fails, but what follows makes sense nonetheless.
flunk() {
	echo "FAIL: $*"
	failures=$((failures + 1))
	return 1
}

skip() {
	echo "SKIP: $*"
	exit 77
}

pass() {
	checks=$((checks + 1))
	echo "ok: $*"
}

# check TEXT COMMAND...: flunks unless the command succeeds.
check() {
	local text=$1

	shift
	if "$@"; then
		pass "$text"
	else
		flunk "$text ($*)"
	fi
}

finish() {
	[ $checks -gt 0 ] || fail "nothing was checked"
	echo "$checks checks, $failures failures"
	exit $((failures > 0))
}

need_root() {
	[ "$(id -u)" = 0 ] || skip "needs root"
}

need_ksm() {
	[ -z "${leaves_ksmd:-}" ] || fail "a test that runs beside others must leave ksmd alone"
	[ -w $ksm/run ] || skip "this kernel has no KSM, or its settings cannot be written"
}

need_command() {
	local name

	for name; do
		command -v "$name" >/dev/null || skip "needs $name"
	done
}

# able tracking|offers: not where test/masks has taken off an ability that it takes.
able() {
	case $1:${SKSM_TEST_FAULT:-} in
	*:mask:proc|*:mask:read|*:mask:exclusive|offers:mask:ksm) return 1 ;;
	esac
}

need_able() {
	able "$1" || skip "no $1 with $SKSM_TEST_FAULT"
}

ksm_names=(advisor_mode max_page_sharing merge_across_nodes pages_to_scan run sleep_millisecs
	   smart_scan use_zero_pages)

ksm_settings() {
	local name

	for name in "${ksm_names[@]}"; do
		[ ! -r $ksm/$name ] || echo "$name $(cat $ksm/$name)"
	done
}

# What is found while a pacer pulses is not what it will put back. The state file is there from
# before its first change until after its last.
ksm_settings_at_rest() {
	local state=/run/sksm/pacer.state settings end=$((SECONDS + 60))

	while [ $SECONDS -lt $end ]; do
		if [ ! -e $state ]; then
			settings=$(ksm_settings)
			[ -e $state ] || break
		fi
		sleep 0.1
	done
	echo "${settings:-$(ksm_settings)}"
}

ksm_before=
[ -n "${leaves_ksmd:-}" ] || ksm_before=$(ksm_settings_at_rest)

ksm_as_before() {
	[ "$(ksm_settings)" = "$ksm_before" ]
}

# Only what differs is written; pages_to_scan cannot be while an advisor is on.
ksm_restore() {
	local name value

	[ -w $ksm/run ] || return 0
	ksm_as_before && return 0
	while read -r name value; do
		case $value in *\[*) value=${value#*\[}; value=${value%%\]*} ;; esac
		[ "$(cat $ksm/$name)" = "$value" ] || echo "$value" 2>/dev/null >$ksm/$name
	done <<<"$ksm_before"
}

# An administrator's ksmd, for as long as the test runs.
ksmd_on() {
	need_ksm
	echo "${1:-4000}" >$ksm/pages_to_scan
	echo 20 >$ksm/sleep_millisecs
	echo 1 >$ksm/run
}

# Pids of processes that run the program file $1.
running() {
	local exe

	for exe in /proc/[0-9]*/exe; do
		[ "$exe" -ef "$1" ] || continue
		exe=${exe#/proc/}
		echo "${exe%/exe}"
	done
}

nobody_runs() {
	[ -z "$(running "$1")" ]
}

pacers_before=$(running "$sksm_pacer")

leave_ksm() {
	local pid

	for pid in $(running "$sksm_pacer"); do
		case " $pacers_before " in *" $pid "*) ;; *) kill "$pid" 2>/dev/null ;; esac
	done
	[ -z "$pacers_before" ] && wait_until 3 nobody_runs "$sksm_pacer"
	ksm_as_before && return
	ksm_restore
	ksm_as_before || echo "FAIL: ksm settings could not be put back"
}

clean_up() {
	local status=$?

	trap '' INT TERM
	if [ ${#pids[@]} -gt 0 ]; then
		kill "${pids[@]}" 2>/dev/null
		sleep 0.2
		kill -KILL "${pids[@]}" 2>/dev/null
		wait 2>/dev/null
	fi
	[ -n "${leaves_ksmd:-}" ] || leave_ksm
	if [ $status != 0 ] && [ $status != 77 ]; then
		find "$T" -maxdepth 1 \( -name '*.err' -o -name '*.out' \) -size +0 -mmin -0.2 |
			xargs -r tail -n 8 2>/dev/null
	fi
	if [ -n "${SKSM_TEST_KEEP:-}" ]; then
		echo "kept: $T"
	else
		cd / && rm -rf "$T"
	fi
	exit $status
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

. "$SKSM_TEST_SOURCE/test/wait.lib.sh"

# start NAME COMMAND...: in the background; its output goes to NAME.out and NAME.err, its pid to
# $pid and the file NAME.pid unless the command writes that itself.
start() {
	local name=$1

	shift
	"$@" </dev/null >"$T/$name.out" 2>"$T/$name.err" &
	pid=$!
	pids+=("$pid")
}

said() {
	grep -qx -- "$2" "$T/$1.out"
}

said_times() {
	[ "$(grep -cx -- "$3" "$T/$1.out")" -ge "$2" ]
}

gone() {
	! kill -0 "$1" 2>/dev/null
}

preload() {
	env LD_PRELOAD="$shim" "$@"
}

# Settings that make the shim do as much as it can in the short life of a test program, with
# ksmd running where the test may switch it on.
provoke() {
	export SKSM_INTERVAL_MS=3 SKSM_AGE_MS=0 SKSM_THRESHOLD=64K SKSM_CPU_PERCENT=100
	if [ "$(id -u)" = 0 ] && [ -w $ksm/run ]; then
		ksmd_on 2000
	fi
}

# Lines of ours on standard error begin so.
own_lines='^sksm[^ ]*: '

# compare NAME COMMAND...: run it without and with the shim; standard output, exit status and
# standard error (but for our own lines) must be equal. side_by_side=1: both at once, for programs
# that share nothing.
compare() {
	local name=$1 plain shimmed first second

	shift
	local without=(timeout -k 5 100 "$@") with=(timeout -k 5 100 env LD_PRELOAD="$shim" "$@")
	# The braces keep the shell's own remarks on killed commands away.
	if [ -n "${side_by_side:-}" ]; then
		# A shell's background ignores what is not ignored otherwise.
		local as_before=(env --default-signal=INT,QUIT)
		{
			"${as_before[@]}" "${without[@]}" </dev/null >"$T/$name-plain.out" 2>"$T/$name-plain.err" &
			first=$!
			"${as_before[@]}" "${with[@]}" </dev/null >"$T/$name.out" 2>"$T/$name.err" &
			second=$!
			wait $first
			plain=$?
			wait $second
			shimmed=$?
		} 2>/dev/null
	else
		{ "${without[@]}" </dev/null >"$T/$name-plain.out" 2>"$T/$name-plain.err"; } 2>/dev/null
		plain=$?
		{ "${with[@]}" </dev/null >"$T/$name.out" 2>"$T/$name.err"; } 2>/dev/null
		shimmed=$?
	fi
	[ $plain != 124 ] || fail "$name: does not end even without the shim"
	[ $shimmed = $plain ] ||
		flunk "$name: exit status $shimmed with the shim, $plain without: $(tail -n 5 "$T/$name.err")" ||
		return
	diff "$T/$name-plain.out" "$T/$name.out" || flunk "$name: another standard output" || return
	diff "$T/$name-plain.err" <(grep -Ev "$own_lines" "$T/$name.err") ||
		flunk "$name: another standard error" || return
	pass "$name: the same with and without the shim"
}

# json EXPRESSION: of the report of this test's domain.
json() {
	"$sksm_report" --json --domain "$SKSM_DOMAIN" >"$T/report.json" ||
		fail "sksm-report: exit status $?"
	jq -r "$1" "$T/report.json"
}

# recorded TEXT CONDITION: some process of the report meets the jq condition.
recorded() {
	local count

	case ${SKSM_TEST_FAULT:-} in
	''|mask:procmap_query|mask:madv_merge) ;;
	*) echo "not asked for, with $SKSM_TEST_FAULT: $1"; return ;;
	esac
	count=$(json "[.processes[] | select(.dir == \"$SKSM_DIR\") | select($2)] | length")
	if [ "${count:-0}" = 0 ]; then
		jq -c '.processes[]' "$T/report.json" | tail -n 4
		flunk "no process in the report: $1" || return
	fi
	pass "in the report: $1"
}

# within PERCENT A B
within() {
	awk -v p="$1" -v a="$2" -v b="$3" \
		'BEGIN { d = a > b ? a - b : b - a; exit !(d * 100 <= p * b) }'
}
