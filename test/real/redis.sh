# SPDX-License-Identifier: MIT
# redis-server under load, with a save child, and what it holds afterwards.
. "$SKSM_TEST_SOURCE/test/lib.sh"
need_command redis-server redis-benchmark redis-cli
provoke

cli() {
	redis-cli -s "$T/$name.sock" "$@"
}

# run_server NAME [VAR=VALUE]...
run_server() {
	name=$1
	shift
	mkdir "$name"
	start "$name" env "$@" redis-server --port 0 --unixsocket "$T/$name.sock" --save '' \
		--dir "$T/$name" --appendonly no --enable-debug-command yes
	wait_until 10 cli ping || fail "$name does not start: $(tail -n 5 "$T/$name.out")"
	timeout 60 redis-benchmark -s "$T/$name.sock" -q -n 10000 -r 5000 -d 200 \
		-t set,get,lpush,incr,hset >"$name.bench" 2>&1 || fail "$name: redis-benchmark: $(cat "$name.bench")"
	cli flushall >/dev/null
	[ "$(cli debug populate 100000 key 300)" = OK ] || fail "$name: no data"
	cli bgsave >/dev/null
	wait_until 20 saved || fail "$name: no BGSAVE: $(cli info persistence)"
	cli config set save '' >/dev/null
	timeout 60 redis-benchmark -s "$T/$name.sock" -q -n 5000 -r 5000 -d 100 -t set >/dev/null
	cli del key:000000000000 >/dev/null
	cli bgsave >/dev/null
	sleep 0.5
	wait_until 20 saved || fail "$name: no second BGSAVE"
	for key in 1 500 99999; do
		cli get key:$key
	done >"$name.values"
	cli dbsize >>"$name.values"
	cli shutdown nosave >/dev/null 2>&1
	wait "$pid"
	echo "status $?" >>"$name.values"
	pids=()
}

saved() {
	cli info persistence | tr -d '\r' >persistence
	grep -qx 'rdb_bgsave_in_progress:0' persistence && grep -qx 'rdb_last_bgsave_status:ok' persistence &&
		test -s "$T/$name/dump.rdb"
}

run_server plain
run_server shimmed LD_PRELOAD="$shim"
# redis-benchmark leaves keys by chance; what was populated is the same.
check "three values and a status" test "$(wc -l <plain.values)" = 5
check "the same values and status" diff <(grep -v '^[0-9]*$' plain.values) <(grep -v '^[0-9]*$' shimmed.values)
check "it ended well" grep -qx 'status 0' shimmed.values
recorded "redis-server" '(.comm | test("redis-server")) and .tracked > 10000000 and .passes > 5'
grep -iE 'bug report|crash|assert' shimmed.out && fail "redis complains"
recorded "the save child, or short of a pass: the server exited" '(.comm | test("redis")) and .state == "exited"'

# Two servers with one dump merge with one another.
mkdir one two
cp plain/dump.rdb one
cp plain/dump.rdb two
for name in one two; do
	start $name env LD_PRELOAD="$shim" redis-server --port 0 --unixsocket "$T/$name.sock" \
		--save '' --dir "$T/$name"
done
answers() {
	[ "$(cli ping)" = PONG ]
}
have_twins() {
	[ "$(json .total.duplicate)" -gt $((10 << 20)) ]
}
! able tracking || check "two servers with one dump have duplicates" wait_until 15 have_twins
for name in one two; do
	check "$name answers" wait_until 10 answers
	cli shutdown nosave >/dev/null 2>&1
done
wait
pids=()
finish
