# SPDX-License-Identifier: MIT
# Wrong input: two pacers, a pacer without root, directories of other users, a full /run, links
# where records are. Each is said in words, with the right exit status, and nothing is damaged.

own_run=1
. "$SKSM_TEST_SOURCE/test/lib.sh"
need_root
need_ksm
need_command setpriv
mount -t tmpfs -o mode=755 none /run || skip "no mounts"

cp "$sksm_report" "$sksm_pacer" "$sksm_run" "$shim" "$victims/hold" .
export SKSM_INTERVAL_MS=20 SKSM_AGE_MS=20
user=(setpriv --reuid 60126 --regid 60126 --clear-groups --)
# refused NAME STATUS TEXT COMMAND...: it ends with STATUS, and a line on stderr matches TEXT.
refused() {
	local name=$1 status=$2 text=$3

	shift 3
	timeout -k 5 20 "$@" >"$name.out" 2>"$name.err" </dev/null
	check "$name: exit status $status" test $? = "$status"
	check "$name: it is said" grep -Eq "$text" "$name.err"
	check "$name: in a few lines" test "$(wc -l <"$name.err")" -le 2
}
hold() {
	env LD_PRELOAD="$shim" "$victims/hold" --bytes 8M --content repeat "$@"
}

# Pacers.
refused unprivileged 1 '^sksm-pacer: only root can .*: sudo sksm-pacer' "${user[@]}" ./sksm-pacer
refused unprivileged-restore 1 'only root can' "${user[@]}" ./sksm-pacer --restore
check "no directory was made for them" test ! -e /run/sksm
start first "$sksm_pacer"
first=$pid
wait_until 10 test -s "/run/sksm/pacer.d/$first" || fail "the first pacer does not come up"
refused second 1 "^sksm-pacer: another pacer \(pid $first\) runs\$" "$sksm_pacer"
refused second-once 1 "another pacer \(pid $first\) runs" "$sksm_pacer" --once
refused second-restore 1 "another pacer \(pid $first\) runs" "$sksm_pacer" --restore
start third "$sksm_pacer" --wait
third=$pid
wait_until 10 grep -q "another pacer (pid $first) runs: waiting for its end" third.err
check "--wait says that it waits" test $? = 0
check "the first one goes on" kill -0 "$first"
kill "$third" && wait "$third"
check "who waits can be ended" test $? = 0
kill "$first" && wait "$first"
check "the first one ends well" test $? = 0
check "nothing of them is left" test -z "$(ls /run/sksm/pacer.d)"
rm -rf /run/sksm
for wrong in link foreign open file; do
	mkdir -m 755 there
	case $wrong in
	link) ln -s "$T/there" /run/sksm ;;
	foreign) mkdir /run/sksm; chown 60126 /run/sksm ;;
	open) mkdir /run/sksm; chmod 777 /run/sksm ;;
	file) : >/run/sksm ;;
	esac
	refused "home-$wrong" 1 '^sksm-pacer: /run/sksm: not a directory that belongs to root' \
		"$sksm_pacer"
	check "home-$wrong: nothing is put there" test -z "$(ls there)$(ls -A /run/sksm/)"
	rm -rf /run/sksm there
done 2>/dev/null

# A full /run: no directory, no lock, and then, with a process that waits, no state.
for inodes in 1 2 3; do
	mount -t tmpfs -o mode=755,nr_inodes=$inodes none /run
	refused "full-$inodes" 1 '^sksm-pacer: /run/sksm.*: No space left on device' "$sksm_pacer"
	umount /run
done
start waiting hold --seconds 60
wait_until 20 eval '[ "$(json "[.processes[].offered] | add")" -gt 4000000 ]' ||
	fail "nothing is offered"
mount -t tmpfs -o mode=755,size=16k none /run
head -c 16384 /dev/zero >/run/fill
refused full-state 1 'cannot run ksmd: /run/sksm/pacer.state: No space left on device' \
	"$sksm_pacer" --once
check "full-state: nothing is left there" test -z "$(find /run/sksm -name '*.state*')"
check "full-state: ksmd was not touched" ksm_as_before
timeout 20 "$sksm_run" -e SKSM_DIR="$SKSM_DIR" -- true 2>full-run.err
check "sksm-run runs the command nonetheless" test $? = 0
umount /run
check "with room again it merges" timeout 30 "$sksm_pacer" --once
check "with room again: settings as before" ksm_as_before
mount -t tmpfs -o mode=755,nr_inodes=1 none /run
timeout 20 "$sksm_run" --report -- "$victims/hold" --bytes 4M --seconds 0.5 >ended.out 2>ended.err
check "sksm-run without a pacer that works: the command's status" test $? = 0
check "it says that nobody paced" grep -q '^sksm-run: sksm-pacer ended early' ended.err
umount /run
kill "$pid"

# Directories of another user.
report=("$T/sksm-report" --domain "$SKSM_DOMAIN")
chmod 755 "$T/sksm" "$T/sksm/$SKSM_DOMAIN"
find "$T/sksm" | sort >before
cp "$shim" lib.so
for wrong in closed foreign; do
	[ $wrong = closed ] && chmod 700 "$T/sksm" || chmod 755 "$T/sksm"
	case $wrong in
	closed) said="$T/sksm: Permission denied, skipped" ;;
	foreign) said="$T/sksm/$SKSM_DOMAIN/records: Permission denied, skipped" ;;
	esac
	refused "report-$wrong" 1 "^sksm-report: $said\$" "${user[@]}" "${report[@]}"
	refused "json-$wrong" 1 "^sksm-report: $said\$" "${user[@]}" "${report[@]}" --json
	check "json-$wrong: JSON nonetheless" jq -e '.processes == []' "json-$wrong.out"
	refused "live-$wrong" 1 "^sksm-report: $said\$" \
		"${user[@]}" timeout 20 "${report[@]}" --live
	refused "prune-$wrong" 1 "^sksm-report: $said\$" "${user[@]}" "${report[@]}" --prune
	"${user[@]}" env SKSM_PRELOAD="$T/lib.so" ./sksm-report --check >check.out 2>&1
	check "check-$wrong: exit status 1" test $? = 1
	check "check-$wrong: it is said" grep -q "^no   directory .*: $T/sksm belongs to another" \
		check.out
	"${user[@]}" env LD_PRELOAD="$T/lib.so" SKSM_LOG=info ./hold --bytes 4M --seconds 0.2 \
		>program.out 2>program.err
	check "program-$wrong: it runs" test $? = 0
	check "program-$wrong: it is said" grep -q \
		"nothing is tracked: another user's, expected a directory .*: $T/sksm\$" program.err
done
check "nothing was made or removed there" diff before <(find "$T/sksm" | sort)

# Links, and other things, in a directory of one's own.
cp -a sksm good
mkdir elsewhere
for part in "$SKSM_DOMAIN" "$SKSM_DOMAIN/records"; do
	for wrong in link dangling foreign open; do
		name=$(basename "$part")-$wrong
		rm -rf sksm gone
		cp -a good sksm
		rm -rf elsewhere && cp -a "good/$part" elsewhere
		case $wrong in
		link) rm -r "sksm/$part"; ln -s "$T/elsewhere" "sksm/$part"; said="a symbolic link" ;;
		dangling) rm -r "sksm/$part"; ln -s "$T/gone" "sksm/$part"; said="a symbolic link" ;;
		foreign) chown 60126 "sksm/$part"; said="belongs to another user" ;;
		open) chmod 777 "sksm/$part"; said="writable by others" ;;
		esac
		find elsewhere sksm | sort >before
		refused "report-$name" 1 "^sksm-report: $T/sksm/$part: $said, skipped\$" "${report[@]}"
		refused "prune-$name" 1 "$said, skipped" "${report[@]}" --prune
		"$sksm_report" --check >check.out 2>&1
		check "check-$name: exit status 1" test $? = 1
		check "check-$name: it is said" grep -Eq "^no   directory .*$T/sksm/$part" check.out
		env SKSM_LOG=info LD_PRELOAD="$shim" ./hold --bytes 4M --seconds 0.2 >program.out \
			2>program.err
		check "program-$name: it runs" test $? = 0
		check "program-$name: it is said" \
			grep -q "nothing is tracked: .*: $T/sksm/$part\$" program.err
		check "$name: nothing is made or removed" \
			diff before <(find elsewhere sksm | sort)
		check "$name: nor behind a dangling link" test ! -e gone
	done
done
: >file
refused nowhere 1 "^sksm-report: $T/file: not a directory, skipped\$" \
	env SKSM_DIR="$T/file" "${report[@]}"
check "where nothing was made yet, nothing is wrong" env SKSM_DIR="$T/none" "${report[@]}"
finish
