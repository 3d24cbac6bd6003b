# SPDX-License-Identifier: MIT
# sqlite3: a database in a file and one in memory, mapped files, a recovered journal, a dump.
quick=1
tracks=sqlite3
limit=240
need_command sqlite3
version() { sqlite3 --version | cut -d' ' -f1; }

work() {
	local n

	n=$(amount 300000 80000)
	for file in data.db :memory:; do
		echo "== $file"
		sqlite3 "$file" <<SQL
PRAGMA cache_size = -65536;
PRAGMA mmap_size = 268435456;
CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b TEXT);
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < $n)
INSERT INTO t SELECT x, (x * 7919) % 10007, printf('row %d of %d', x, $n) FROM c;
CREATE INDEX ta ON t(a);
SELECT count(*), sum(a), max(length(b)) FROM t;
SELECT a, count(*) FROM t GROUP BY a ORDER BY count(*) DESC, a LIMIT 3;
SELECT b FROM t ORDER BY b DESC LIMIT 3;
UPDATE t SET b = b || ' changed' WHERE a % 3 = 0;
DELETE FROM t WHERE a % 5 = 0;
SELECT count(*), sum(length(b)) FROM t x WHERE EXISTS (SELECT 1 FROM t y WHERE y.a = x.a + 1);
VACUUM;
PRAGMA integrity_check;
SELECT hex(sum(unicode(substr(b, 5, 1)))) FROM t;
SQL
		echo "-> $?"
	done
	step size stat -c %s data.db
	cksum data.db
	step dump bash -c 'sqlite3 data.db .dump | tee dump.sql | cksum'
	step restored bash -c 'sqlite3 copy.db <dump.sql && sqlite3 copy.db "SELECT count(*), sum(a) FROM t"'
	exits 137 killed bash -c 'sqlite3 data.db "BEGIN; DELETE FROM t;" "SELECT count(*) FROM t" ".system kill -9 \$PPID"' 2>/dev/null
	step recovered sqlite3 data.db 'SELECT count(*) FROM t; PRAGMA integrity_check'
	exits 1 error sqlite3 data.db 'SELECT no_such_column FROM t'
}
