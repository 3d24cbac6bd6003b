# SPDX-License-Identifier: MIT
# redis: its benchmark, a populated keyspace, RDB and AOF children, a restart from each, memory
# tests of its own, expiry and eviction. DEBUG DIGEST is the content of everything.
quick=1
tracks=redis-server
limit=300
need_command redis-server redis-benchmark redis-cli
version() { redis-server --version | cut -d' ' -f1-3; }

cli() { redis-cli -s "$PWD/sock" "$@"; }

start_server() {
	redis-server --port 0 --unixsocket "$PWD/sock" --dir "$PWD" --save '' \
		--enable-debug-command yes --activedefrag no --logfile "$PWD/log" "$@" &
	server=$!
	wait_until 60 loaded || echo UNEXPECTED
}

loaded() { [ "$(cli ping)" = PONG ]; }

stop_server() {
	cli shutdown nosave
	wait $server
	echo "server $?"
}

idle() {
	cli info persistence | tr -d '\r' >info
	grep -qx "${1}_in_progress:0" info && grep -qx "$2:ok" info
}

work() {
	local n

	n=$(amount 400000 60000)
	start_server --appendonly no
	step populate cli debug populate "$n" key 200
	step benchmark bash -c 'redis-benchmark -s sock -q -n "$1" -c 20 -r 3000 -d 100 -P 8 \
		-t set,get,incr,lpush,rpop,sadd,hset,zadd,mset 2>&1 | tr "\r" "\n" | grep -c "requests per second"' - $((n / 2))
	cli del key:__rand_int__ mylist myset myhash counter:__rand_int__ >/dev/null
	# What the benchmark leaves is by chance; the rest is not.
	cli flushall >/dev/null
	step populate cli debug populate "$n" key 200
	cli eval 'math.randomseed(7) for i = 1, 20000 do redis.call("HSET", "h" .. (i % 50), "f" .. i, string.rep("x", i % 90)) redis.call("ZADD", "z", (i * 7919) % 10007, "m" .. i) redis.call("LPUSH", "l", i) redis.call("SADD", "s" .. (i % 9), i) end return redis.call("DBSIZE")' 0
	step digest cli debug digest
	step bgsave cli bgsave
	# Writes while the child reads: pages shared by the fork break.
	redis-benchmark -s sock -q -n $((n / 4)) -P 8 -r 100000 -d 150 -t set >/dev/null 2>&1
	wait_until 60 idle rdb_bgsave rdb_last_bgsave_status || echo "no bgsave"
	stop_server
	start_server --dbfilename dump.rdb --appendonly no
	step 'after a restart from the dump' cli debug digest
	step aof cli config set appendonly yes
	wait_until 60 idle aof_rewrite aof_last_bgrewrite_status || echo "no rewrite"
	step write cli eval 'for i = 1, 5000 do redis.call("SET", "later" .. i, i) end return 1' 0
	step rewrite cli bgrewriteaof
	wait_until 60 idle aof_rewrite aof_last_bgrewrite_status || echo "no rewrite"
	step digest cli debug digest
	kill -9 $server
	wait $server 2>/dev/null
	start_server --appendonly yes
	step 'after a restart from the log' cli debug digest
	step error cli lpop h1
	step eviction cli config set maxmemory 20mb
	cli config set maxmemory-policy allkeys-lru >/dev/null
	step fits bash -c 'for i in 1 2 3; do redis-cli -s sock set last$i $i; done; redis-cli -s sock get last3'
	step reload cli debug reload
	stop_server
	# It draws a progress bar.
	step memory bash -c 'redis-server --test-memory "$1" | tr -s "ASRC=." | grep -ac Compare' - "$(amount 64 16)"
	grep -ciE 'bug report|crashed|assert' log
	return 0
}
