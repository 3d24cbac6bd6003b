# SPDX-License-Identifier: MIT
# A postgres cluster: initdb, pgbench, stop.
. "$SKSM_TEST_SOURCE/test/lib.sh"
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -n 1)
[ -x "${bin:-}/initdb" ] || skip "needs postgresql"
provoke

as_user=()
if [ "$(id -u)" = 0 ]; then
	need_command setpriv
	as_user=(setpriv --reuid 65534 --regid 65534 --clear-groups --)
	# The checkout may be where this user cannot look.
	cp "$shim" "$T/shim.so"
	shim=$T/shim.so
fi
mkdir work
chmod 777 .
[ "$(id -u)" != 0 ] || chown 65534:65534 work
export SKSM_DIR=$T/work/sksm HOME=$T/work

# cluster NAME [VAR=VALUE]...: prints what a user sees.
cluster() {
	local name=$1 data=$T/work/$1

	shift
	mkdir -p sockets
	chmod 777 sockets
	# shellcheck disable=SC2016
	"${as_user[@]}" env "$@" timeout 80 bash -c '
		bin=$1 data=$2 sockets=$3
		"$bin/initdb" -D "$data" -U tester -A trust --no-sync -E UTF8 --locale=C.UTF-8 >"$data.initdb" 2>&1
		echo "initdb $?"
		"$bin/pg_ctl" -D "$data" -l "$data.log" -w -t 20 -o "-k $sockets -h \"\" -c fsync=off \
			-c shared_buffers=32MB -c work_mem=8MB" start >"$data.start" 2>&1
		echo "start $?"
		"$bin/pgbench" -h "$sockets" -U tester -i -q -s 2 postgres >"$data.init" 2>&1
		echo "pgbench -i $?"
		"$bin/pgbench" -h "$sockets" -U tester -c 4 -j 2 -t 100 postgres 2>&1 |
			grep -E "processed|failed"
		echo "pgbench ${PIPESTATUS[0]}"
		"$bin/psql" -h "$sockets" -U tester -Atc "select count(*), sum(aid::bigint) from pgbench_accounts" postgres
		"$bin/psql" -h "$sockets" -U tester -Atc "select count(*) from (select a.aid from pgbench_accounts a, generate_series(1,5) order by md5(a.aid::text)) x" postgres
		"$bin/psql" -h "$sockets" -U tester -Atc "select no_such_column" postgres 2>&1
		"$bin/pg_ctl" -D "$data" -w -m fast stop >"$data.stop" 2>&1
		echo "stop $?"
		grep -E "PANIC|FATAL|signal" "$data.log"
	' - "$bin" "$data" "$T/sockets" >"$name.out" 2>"$name.err"
	echo "status $?" >>"$name.out"
}

cluster plain
cluster shimmed LD_PRELOAD="$shim"
check "the plain run works" grep -qx 'stop 0' plain.out
diff plain.out shimmed.out || fail "another output with the shim: $(cat work/shimmed.log)"
pass "the same with and without the shim"
diff <(cat plain.err) <(grep -Ev "$own_lines" shimmed.err) || fail "another standard error"
recorded "postgres" '(.command | test("postgres")) and .tracked > 0 and .passes > 0'
finish
