# SPDX-License-Identifier: MIT
# What containers leave us (docs/machine.md): the system calls that docker's default profile refuses
# to a process without capabilities, user and pid namespaces, a root that is none.
. "$SKSM_TEST_SOURCE/test/lib.sh"
side_by_side=1
need_root
need_command setpriv
export SKSM_INTERVAL_MS=20 SKSM_AGE_MS=40
mkdir -m 755 bin
cp "$shim" bin/lib.so
cp "$victims/hold" "$victims/deny" bin
chmod 755 bin/lib.so
hold=("$T/bin/hold" --bytes 8M --content repeat --seconds 2)
user=(setpriv --reuid 60133 --regid 60133 --clear-groups --)

shim=$T/bin/lib.so
# contained NAME TRACKER COMMAND...: under COMMAND hold is tracked by TRACKER, its duplicates found
# and offered; of a user, in a directory of his own.
contained() {
	local name=$1 tracker=$2

	shift 2
	export SKSM_DIR=$T/$name/sksm
	install -d -o 60133 "$T/$name"
	compare "$name" "${user[@]}" "$@" "${hold[@]}"
	recorded "$name" ".comm == \"hold\" and (.tracker | test(\"^($tracker)$\")) and
		.dormant == null and .duplicate >= 8000000 and (.engine == \"none\" or .offered >= 8000000)"
}
refused=("$T/bin/deny" EPERM userfaultfd,unshare,kcmp "$T/bin/deny" ENOSYS clone3)
contained plain 'wp|digest'
native=$(json '.processes[] | select(.comm == "hold") | .tracker')
userns=(unshare --user --map-root-user)
if ! "${user[@]}" "${userns[@]}" true 2>/dev/null; then
	echo "no user namespaces for users here"
	userns=()
fi
contained docker digest "${refused[@]}"
contained userns "$native" "${userns[@]}"
if [ ${#userns[@]} != 0 ]; then
	contained pidns "$native" "${userns[@]}" --pid --fork --mount-proc
	contained outer-proc "$native" "${userns[@]}" --pid --fork
fi
contained rootless digest "${userns[@]}" "${refused[@]}"
# An older profile, without close_range: nothing is tracked, and the record says why.
export SKSM_DIR=$T/older/sksm
install -d -o 60133 "$T/older"
compare older "${user[@]}" "$T/bin/deny" EPERM close_range "${hold[@]}"
recorded "older: dormant, with the reason" '.dormant != null and (.dormant | test("close_range"))'

# "root" of a user namespace: /run/sksm of the machine is another's to it.
if [ ${#userns[@]} != 0 ]; then
	was=$([ -e /run/sksm ] && find /run/sksm | sort)
	unset SKSM_DIR
	"${user[@]}" "${userns[@]}" env LD_PRELOAD="$shim" SKSM_LOG=info "${hold[@]}" \
		>root.out 2>root.err
	check "root of a user namespace: it runs" test $? = 0
	check "it is said that SKSM_DIR has to be set" \
		grep -q 'nothing is tracked: .*: /run/sksm$' root.err
	check "nothing is put there" test "$was" = "$([ -e /run/sksm ] && find /run/sksm | sort)"
fi
finish
