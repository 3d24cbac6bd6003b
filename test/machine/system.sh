#!/bin/bash
# SPDX-License-Identifier: MIT
#
# system.sh without|with: runs inside of the booted Debian (test/compat/system). Uses it as people
# do; /host/facts takes what must be the same with and without the library.
set -u
export LC_ALL=C.UTF-8
variant=$1
. /host/checks.sh

fact() {
	echo "$*" >>/host/facts
}

as_worker() {
	runuser -u worker -- "$@"
}

# ---- the units ----

came_up() {
	systemctl is-active multi-user.target
}

failed_units() {
	systemctl --failed --no-legend --plain | awk '{ print $1 }' | sort
}

# ---- what people do ----

log_in() {
	printf 'id -un\nexit\n' | script -qec "login -f worker" /dev/null | tr -d '\r' | grep -x worker
}

ssh_to_itself() {
	as_worker mkdir -p -m 700 /home/worker/.ssh
	as_worker ssh-keygen -q -t ed25519 -N '' -f /home/worker/.ssh/id_ed25519
	as_worker cp /home/worker/.ssh/id_ed25519.pub /home/worker/.ssh/authorized_keys
	test "$(as_worker ssh -o StrictHostKeyChecking=no worker@127.0.0.1 \
		'id -un; seq 100000 | sha256sum')" = "worker
$(seq 100000 | sha256sum)"
}

cron_runs() {
	test -e /host/from-cron && grep -x worker /host/from-cron
}

apt_installs() {
	apt-get install -y --no-install-recommends /host/hello_*.deb && hello &&
		apt-get purge -y hello && test ! -e /usr/bin/hello
}

postgres_works() {
	runuser -u postgres -- pgbench -q -i -s 2 postgres &&
		runuser -u postgres -- pgbench -c 4 -j 2 -t 50 postgres &&
		test "$(runuser -u postgres -- psql -Atc 'select count(*), count(distinct aid) from pgbench_accounts' postgres)" = "200000|200000"
}

postgres_restarts() {
	systemctl restart postgresql@15-main && postgres_counts
}

postgres_counts() {
	test "$(runuser -u postgres -- psql -Atc 'select count(*) from pgbench_history' postgres)" = 200
}

nginx_serves() {
	seq 300000 >/var/www/html/numbers
	python3 - <<-END
		import hashlib, urllib.request
		got = urllib.request.urlopen("http://127.0.0.1/numbers").read()
		assert got == open("/var/www/html/numbers", "rb").read()
	END
}

nginx_reloads() {
	systemctl reload nginx && nginx_serves
}

user_manager() {
	loginctl enable-linger worker && wait_until 60 test -S /run/user/"$(id -u worker)"/bus &&
		as_worker env XDG_RUNTIME_DIR=/run/user/"$(id -u worker)" \
			systemd-run --user --wait -q true
}

reexecuted() {
	systemctl daemon-reexec && systemctl is-active ssh.service && systemd-run --wait -q true
}

sandboxed() {
	systemd-run --wait -q -p DynamicUser=yes -p PrivateUsers=yes -p ProtectSystem=strict \
		-p MemoryDenyWriteExecute=yes -p SystemCallFilter=@system-service \
		-p RestrictNamespaces=yes -p PrivateTmp=yes -p NoNewPrivileges=yes -- \
		python3 -c 'print(sum(bytearray(8 << 20)))'
}

# ---- what the library says ----

# Whatever runs user code, is older than some seconds and is not static.
processes() {
	local at pid

	for at in /proc/[0-9]*; do
		pid=${at#/proc/}
		readlink -e "$at/exe" >/dev/null && [ "$(stat -c %Y "$at")" -lt $(($(date +%s) - 10)) ] &&
			echo "$pid"
	done | sort
}

reported() {
	sksm-report --json 2>/dev/null | python3 -c '
import json, sys
report = json.load(sys.stdin)
for process in report["processes"] + report["unrecorded"]:
    if process.get("state", "running") == "running":
        print(process["pid"])' | sort
}

all_are_listed() {
	local missing

	missing=$(comm -23 <(processes) <(reported))
	[ -z "$missing" ] || ps -o pid,user,comm,args -p "$(echo $missing | tr ' ' ,)"
	[ -z "$missing" ]
}

useradd --create-home --shell /bin/bash worker
echo '* * * * * id -un >/host/from-cron' | crontab -u worker -
check "multi-user.target is reached" came_up
fact "failed units: $(failed_units | tr '\n' ' ')"
check "a login" log_in
check "ssh to itself" ssh_to_itself
check "apt installs and purges" apt_installs
check "postgres works" postgres_works
check "postgres restarts" postgres_restarts
check "nginx serves" nginx_serves
check "nginx reloads" nginx_reloads
check "a user's own manager" user_manager
check "a sandboxed unit" sandboxed
check "systemd is executed anew" reexecuted
check "cron" wait_until 90 cron_runs
fact "failed units at the end: $(failed_units | tr '\n' ' ')"
fact "running units: $(systemctl list-units --no-legend --plain --state=running --type=service |
	awk '{ print $1 }' | grep -v sksm | sort | tr '\n' ' ')"
grep '^ok: \|^FAIL: ' /host/output | sed 's/ (.*//' >>/host/facts
if [ "$variant" = with ]; then
	sleep 12
	check "every process is listed" all_are_listed
	check "pid 1 is" grep -qx 1 <(reported)
	sksm-report >/host/report
	grep -E ' (COMM|systemd|postgres|nginx|sshd) .* running |processes: |more with' /host/report
fi
echo "$failures failures"
exit $((failures > 0))
