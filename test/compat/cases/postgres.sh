# SPDX-License-Identifier: MIT
# postgres: a cluster made, loaded, run by pgbench from many clients, queried with parallel workers
# and sorts in memory, crashed and recovered, dumped and restored; the content is compared.
quick=1
tracks=postgres
limit=600
postgres_bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -n 1)
[ -x "${postgres_bin:-}/initdb" ] || without "needs postgresql"
[ "$(id -u)" != 0 ] || need_command setpriv
version() { "$postgres_bin/postgres" --version; }

work() {
	user_dir pg
	cd pg || return
	export PATH=$postgres_bin:$PATH PGHOST=$PWD PGUSER=tester PGDATABASE=postgres
	export scale transactions
	scale=$(amount 10 2) transactions=$(amount 1500 200)
	export -f cluster step exits
	as_user bash -c cluster
}

cluster() {
	step initdb bash -c 'initdb -D data -U tester -A trust --no-sync -E UTF8 --locale=C.UTF-8 >initdb.log 2>&1'
	cat >>data/postgresql.conf <<CONF
listen_addresses = ''
unix_socket_directories = '$PWD'
shared_buffers = 128MB
work_mem = 32MB
fsync = off
jit = on
jit_above_cost = 1000
max_parallel_workers_per_gather = 3
min_parallel_table_scan_size = 0
parallel_setup_cost = 0
autovacuum_naptime = 2s
CONF
	step start bash -c 'pg_ctl -D data -l log -w -t 40 start >start.log 2>&1'
	step load bash -c 'pgbench -i -q -s "$scale" --foreign-keys 2>&1 | tail -n 1 | sed "s/ in .*//"'
	step pgbench bash -c 'pgbench -c 8 -j 2 -t "$transactions" --random-seed=7 2>&1 | grep -E "processed|failed"'
	step balanced psql -Atc 'select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history),
		(select sum(bbalance) from pgbench_branches) = (select sum(tbalance) from pgbench_tellers), (select count(*) from pgbench_history)'
	step table psql -Atc "create table t as select g as id, (g::bigint * 7919 % 100003)::int as a, md5(g::text) as b, array[g, g % 7] as c
		from generate_series(1, 100000 * $scale / 2) g; create index on t(a); create index on t using gin(c); analyze t"
	step parallel psql -Atc 'select count(*), sum(a), md5(string_agg(b, null order by b)) from t'
	step hash psql -Atc 'select count(*), sum(x.a) from t x join t y on x.a = y.id where x.c @> array[3]'
	step sort psql -Atc 'select md5(string_agg(id::text, $$,$$)) from (select id from t order by b desc, a limit 20000) x'
	step window psql -Atc 'select sum(r), max(l) from (select rank() over (partition by a % 100 order by b) r, lag(id) over (order by a, id) l from t) x'
	step plpgsql psql -Atc 'do $$ declare s bigint := 0; v text[]; begin for i in 1..200000 loop s := s + i % 13; v[i % 1000] := s::text; end loop; raise notice $x$% %$x$, s, array_length(v, 1); end $$'
	step update psql -At -c 'update t set b = b || b where a % 4 = 0; delete from t where a % 9 = 0' -c 'vacuum full t' -c 'select count(*), sum(length(b)) from t'
	exits 1 error psql -Atc 'select no_such_column from t'
	exits 1 memory psql -Atc "select length(repeat('x', 400000000)); select repeat('x', 1100000000)"
	step dump bash -c 'pg_dump -t t --no-sync | grep -v "^--\|^.restrict\|^.unrestrict" | tee dump.sql | cksum'
	step restore bash -c 'createdb other && psql -q -d other -f dump.sql >/dev/null && psql -d other -Atc "select count(*), sum(a) from t"'
	step crash bash -c 'kill -9 $(psql -Atc "select pid from pg_stat_activity where backend_type = \$\$background writer\$\$")'
	sleep 2
	for ((i = 0; i < 100; i++)); do
		psql -Atc 'select 1' >/dev/null 2>&1 && break
		sleep 0.2
	done
	step recovered psql -Atc 'select count(*), sum(a), sum(length(b)) from t'
	step check bash -c 'psql -Atc "create extension amcheck; select count(bt_index_check(c.oid)) from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am m on m.oid = c.relam where m.amname = \$\$btree\$\$ and c.relpersistence = \$\$p\$\$"'
	step immediate bash -c 'pg_ctl -D data -w -m immediate stop >stop.log 2>&1; pg_ctl -D data -l log -w start >start.log 2>&1'
	step again psql -Atc 'select count(*), sum(a), sum(length(b)) from t'
	step stop bash -c 'pg_ctl -D data -w -m fast stop >stop.log 2>&1'
	grep -cE 'PANIC|signal (11|6|7|4)' log
	return 0
}
