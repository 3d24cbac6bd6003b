# SPDX-License-Identifier: MIT
# Programs that hold secrets: what they marked is never mergeable, as smaps says, and what they did
# not mark is nothing that we know of.
. "$SKSM_TEST_SOURCE/test/lib.sh"
. "$SKSM_TEST_SOURCE/test/never.lib.sh"
need_root
need_ksm
need_able offers
need_command gpg-agent ssh-agent ssh-add ssh-keygen setpriv
provoke
# The locked pool of gpg-agent is 64 KiB.
export SKSM_THRESHOLD=4K

of() {
	json "[.processes[] | select(.pid == $1) | .$2] | add // 0"
}
of_is() {
	[ "$(of "$1" "$2")" -ge "$3" ]
}
see() {
	wait_until 20 is_offered "$2" || fail "$1: nothing is offered, so that nothing is shown"
	wait_until 30 of_is "$2" passes $(($(of "$2" passes) + 20)) || fail "$1: no passes"
}
locked_is_offered() {
	local all both rest

	read -r all both rest < <(marked "$1")
	[ "${both:-0}" -gt 0 ]
}

# gpg-agent, with a key made in its locked pool. (With --daemon it locks the pool and forks, and
# locks are not inherited.)
agents=()
for how in merge skip; do
	mkdir -m 700 home-$how
	mkfifo commands-$how
	exec {commands}<>commands-$how
	env LD_PRELOAD="$shim" SKSM_SENSITIVE=$how gpg-agent --server --homedir "$T/home-$how" \
		<&"$commands" >agent-$how.out 2>agent-$how.err &
	pids+=($!)
	agents+=($!)
	wait_until 10 grep -q '^OK' agent-$how.out || fail "gpg-agent does not start"
	printf '%s\n' 'GENKEY --no-protection' \
		'D (6:genkey(3:ecc(5:curve7:Ed25519)(5:flags5:eddsa)))' END >&"$commands"
	wait_until 10 grep -aq '^D (10:public-key' agent-$how.out || fail "gpg-agent makes no key"
done
see gpg-agent "${agents[1]}"
never_offered gpg-agent "${agents[1]}" 1
check "gpg-agent: its pool was seen, and skipped" of_is "${agents[1]}" sensitive_skipped 65536
check "gpg-agent: else it would be offered" wait_until 20 locked_is_offered "${agents[0]}"
kill "${agents[@]}"

# A secure heap of OpenSSL's.
for how in guarded bare; do
	start $how env LD_PRELOAD="$shim" "$python" "$source_dir/test/victims/secure_heap.py" $how
	one=$pid
	wait_until 20 said $how ready || fail "$how: $(cat $how.err)"
	see $how $one
	never_offered "OpenSSL, $how" $one 1
	check "OpenSSL, $how: nothing is wrong" test ! -s $how.err
	kill $one
done
check "OpenSSL, bare: it was seen, and skipped" of_is $one sensitive_skipped $((2 << 20))
start asked env LD_PRELOAD="$shim" SKSM_SENSITIVE=merge "$python" \
	"$source_dir/test/victims/secure_heap.py" bare
check "OpenSSL, bare: else it would be offered" wait_until 20 locked_is_offered "$pid"
kill "$pid"

# ssh-agent marks nothing. As Debian installs it, it is setgid: there is nothing of ours in it.
# A copy without that bit is like any other program; but one of a user has made itself undumpable,
# and so it cannot look at its own page map.
ssh-keygen -q -t ed25519 -N '' -f key
mkdir -m 755 own
install -m 755 "$(command -v ssh-agent)" own/ssh-agent
install -m 755 "$shim" own/lib.so
mkdir -m 700 own/user
chown 60128 own/user
start agent env LD_PRELOAD="$T/own/lib.so" ssh-agent -D -a "$T/agent"
system=$pid
start copy setpriv --reuid 60128 --regid 60128 --clear-groups env LD_PRELOAD="$T/own/lib.so" \
	SKSM_DIR="$T/own/user/sksm" "$T/own/ssh-agent" -D -a "$T/own/user/agent"
copy=$pid
for socket in agent own/user/agent; do
	wait_until 10 test -S "$T/$socket" || fail "ssh-agent does not start"
	SSH_AUTH_SOCK=$T/$socket ssh-add -q key || fail "ssh-add"
done
if [ -g "$(command -v ssh-agent)" ]; then
	check "ssh-agent: nothing of ours is in it" \
		test "$(grep -c lib.so "/proc/$system/maps")" = 0
	check "ssh-agent: nothing is offered" eval "! is_offered $system"
fi
is_dormant() {
	[ "$(SKSM_DIR=$T/own/user/sksm json \
		'.processes[] | select(.comm == "ssh-agent") | .dormant != null')" = true ]
}
check "ssh-agent of a user, not setgid: it is left alone" wait_until 10 is_dormant
check "ssh-agent of a user, not setgid: nothing is offered" eval "! is_offered $copy"
finish
