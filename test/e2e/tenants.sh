# SPDX-License-Identifier: MIT
# Several users, domains and a container at once: one pacer serves them all, within its budget. What
# one process alone has is not offered, whoever has the same in another domain; what has a twin in
# its own domain is merged with everybody's (docs/security.md).

SKSM_TEST_LIMIT=800
own_run=1
. "$SKSM_TEST_SOURCE/test/e2e.lib.sh"
need_root
need_ksm
need_command setpriv pgrep
[ "$(cat $ksm/run)" = 0 ] || skip "ksmd runs already"
mount -t tmpfs -o mode=755 none /run || skip "no mounts"

users=(60131 60132)
cp "$shim" lib.so
cp "$victims/hold" .
chmod 755 lib.so
declare -A pid_of
# hold_as NAME USER DOMAIN SEED [COMMAND...]: in the runtime directory of a service of that user.
hold_as() {
	local name=$1 user=$2 domain=$3 seed=$4

	shift 4
	[ -d "/run/tenant-$user" ] || install -d -o "$user" "/run/tenant-$user"
	start "$name" "$@" setpriv --reuid "$user" --regid "$user" --clear-groups -- \
		env LD_PRELOAD="$T/lib.so" SKSM_DIR="/run/tenant-$user/sksm" SKSM_DOMAIN="$domain" \
		"$T/hold" --bytes 32M --seed "$seed" --seconds 300
	pid_of[$name]=$pid
}
export SKSM_INTERVAL_MS=200 SKSM_AGE_MS=400
all_ready() {
	local name

	for name in "${!pid_of[@]}"; do
		wait_until 20 said "$name" ready || fail "$name: $(cat "$name.err")"
	done
}

# A container that has a pacer of its own, which cannot see ksmd.
start own unshare --pid --fork --kill-child --mount-proc "$sksm_run" -e SKSM_DIR=/run/own -- sh -c \
	'"$1" --bytes 24M --seed 5 --seconds 300 & exec "$1" --bytes 24M --seed 5 --seconds 300' \
	- "$victims/hold"
own=$pid
wait_until 20 said_times own 2 ready || fail "own: $(cat own.err)"
# shellcheck disable=SC2046
check "a container with a pacer of its own: freed" wait_until 80 "$frames" --min-saved-percent 95 \
	$(running "$victims/hold")
kill $(pgrep -P "$own") $(running "$victims/hold")
wait "$own" 2>/dev/null
wait_until 10 nobody_runs "$sksm_pacer" || fail "its pacer is left"
check "its settings as before" ksm_as_before
ksmd_cpu_ns() {
	sed -n 's/^ksmd_cpu_ns //p' /run/sksm/pacer.stats
}
before_ns=$(ksmd_cpu_ns)
check "what ksmd took was charged" test "$before_ns" -gt 0

begin_ns=$(date +%s%N)
start pacer "$sksm_pacer" --cpu-percent 20
pacer=$pid
# freed SECONDS PERCENT TEXT NAME...
freed() {
	local seconds=$1 percent=$2 text=$3 name list=()

	shift 3
	for name; do
		list+=("${pid_of[$name]}")
	done
	check "$text: freed" wait_until "$seconds" "$frames" --min-saved-percent "$percent" "${list[@]}"
	"$frames" "${list[@]}"
}

# Two containers of one user's, each with pids of its own; alone, so that nobody else's pages wait.
for name in box1 box2; do
	hold_as $name "${users[0]}" box 9 unshare --pid --fork --mount-proc
done
all_ready
for name in box1 box2; do
	pid_of[$name]=$(pgrep -P "${pid_of[$name]}")
	# unshare would be ended without it.
	pids+=("${pid_of[$name]}")
	grep -q '^NSpid:.*[0-9]\s[0-9]' "/proc/${pid_of[$name]}/status" ||
		fail "$name: no pid of its own"
done
freed 80 95 "two containers" box1 box2

for user in "${users[@]}"; do
	hold_as "one-$user" "$user" shop 7
	hold_as "two-$user" "$user" shop 7
	hold_as "lone-$user" "$user" shop 3
	hold_as "other-$user" "$user" other "$user"
	hold_as "another-$user" "$user" other "$user"
done
all_ready
for user in "${users[@]}"; do
	freed 80 95 "user $user, domain shop" "one-$user" "two-$user"
	freed 80 95 "user $user, domain other" "other-$user" "another-$user"
done
freed 20 95 "no walls: four equal processes of two users" one-60131 two-60131 one-60132 two-60132

# The pacer counts what ksmd took. It begins with a second of it saved up, and a batch may be late.
kill "$pacer"
wait "$pacer"
end_ns=$(date +%s%N)
used_ns=$(($(ksmd_cpu_ns) - before_ns))
echo "ksmd: $((used_ns / 1000000)) ms of $(((end_ns - begin_ns) / 1000000)) ms"
check "ksmd was within its budget" \
	test "$used_ns" -le $(((end_ns - begin_ns) / 5 + 1300000000)) -a "$used_ns" -gt 0
check "ksm settings as before" ksm_as_before

# What nobody else in the domain has.
lone() {
	unset SKSM_DIR
	"$sksm_report" --json --domain shop | jq -e --argjson pid "${pid_of[$1]}" \
		".processes[] | select(.pid == \$pid) | .invariant > 30000000 and $2" >/dev/null
}
for user in "${users[@]}"; do
	check "user $user: alone in its domain, all of it is calm, and none is offered" \
		wait_until 20 lone "lone-$user" ".offered < 1000000 and .merged < 1000000"
done
check "as root the report has the processes of both users" test "$(unset SKSM_DIR
	"$sksm_report" --json --live --domain shop | jq '.processes | length')" = 6
for name in "${!pid_of[@]}"; do
	kill -USR1 "${pid_of[$name]}"
done
for name in "${!pid_of[@]}"; do
	wait_until 20 said "$name" verified || flunk "$name: a byte is wrong"
done
pass "every byte is right"
finish
