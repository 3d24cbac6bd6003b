#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Runs inside of the booted Debian (test/package): install, use, upgrade, remove, purge. /host has
# the packages and takes what the workers say.
set -u
export LC_ALL=C.UTF-8
ksm=/sys/kernel/mm/ksm
unit=sksm-pacer.service
. /host/checks.sh

settings() {
	(cd $ksm && grep . advisor_mode max_page_sharing merge_across_nodes pages_to_scan run \
		sleep_millisecs smart_scan use_zero_pages)
}

settings_as_before() {
	[ "$(settings)" = "$before" ]
}

# All names of this system but those that every boot and every dpkg makes.
names() {
	find / -xdev \( -path /host -o -path /proc -o -path /var/lib/postgresql -o -path /var/log -o -path /var/lib/dpkg -o \
		-path /var/cache -o -path /var/lib/systemd/timers \) -prune -o -print
	find /run /tmp -xdev \( -path /run/systemd -o -path /run/udev -o -path /run/user -o \
		-path /run/host -o -path /run/log \) -prune -o -print
}

named_after_us() {
	find / -xdev -path /host -prune -o -iname '*sksm*' -print
	find /run /tmp /dev/shm -iname '*sksm*' -print
	grep -l sksm /var/lib/dpkg/status
}

report() {
	sksm-report --json 2>/dev/null | python3 -c '
import json, sys
processes = [p for p in json.load(sys.stdin)["processes"] if p["state"] == "running" and
             p["command"].find("worker.py") >= 0]
print(eval(sys.argv[1]))' "$1"
}

report_says() {
	[ "$(report "$1")" = True ]
}

answers() {
	local word=$1 file

	for file in $(seq 1 4); do
		[ "$(cat /host/answer.* 2>/dev/null | grep -c "^$word good")" = 4 ] && return 0
		sleep 0.5
	done
	return 1
}

workers_are_well() {
	echo "$1" >/host/ask
	wait_until 20 answers "$1"
}

main_pid() {
	systemctl show -p MainPID --value $unit
}

# The four equal workers: two are a service with the example drop-in, two are started by hand.
start_workers() {
	local drop_in=/etc/systemd/system/worker@.service.d

	cat >/etc/systemd/system/worker@.service <<-END
		[Service]
		User=worker
		ExecStart=/usr/bin/python3 /host/worker.py /host
	END
	mkdir -p $drop_in
	cp /usr/share/doc/sksm/examples/preload.conf $drop_in/sksm.conf
	systemctl daemon-reload
	systemctl start worker@1 worker@2
	runuser -u worker -- sksm-run -- /usr/bin/python3 /host/worker.py /host &
	runuser -u worker -- env LD_PRELOAD=libsksm_preload.so \
		/usr/bin/python3 /host/worker.py /host &
}

stop_workers() {
	systemctl stop 'worker@*'
	kill $(jobs -p)
	wait
	rm -rf /etc/systemd/system/worker@.service*
	systemctl daemon-reload
}

nothing_new() {
	names | sort >/host/names.after
	diff /host/names.before /host/names.after
}

nothing_of_ours() {
	[ -z "$(named_after_us)" ] || { named_after_us; return 1; }
}

inside() {
	nsenter --target "$(main_pid)" --mount -- sh -c "$1"
}

cannot() {
	inside true && ! inside "$1"
}

useradd --create-home worker
before=$(settings)
names | sort >/host/names.before

# Install.
check "dpkg --install" dpkg --install /host/sksm_*-1_*.deb
check "the unit is enabled" systemctl is-enabled $unit
check "the unit runs" systemctl is-active $unit
systemctl --quiet is-active $unit || systemctl status --no-pager $unit
check "sksm-report --check says that merging can happen" sksm-report --check
check "/run/sksm is root's alone" test "$(stat -c '%u %a' /run/sksm)" = "0 700"

# What the unit may do.
check "the pacer may write the settings" inside "echo 0 >$ksm/run"
for file in /proc/sys/vm/swappiness /sys/kernel/mm/transparent_hugepage/enabled; do
	check "it may not write $file" cannot "cat $file | tr -d '[]' >$file"
done
for file in /usr/x /etc/x /home/x /tmp/x /var/x /root/x; do
	check "it may not write $file" cannot "touch $file"
done
check "it has one capability" grep -qx 'CapEff:.0*4' "/proc/$(main_pid)/status"

# Use.
start_workers
check "four workers are recorded" wait_until 30 report_says 'len(processes) == 4'
check "the unit has merged them" wait_until 90 report_says \
	'sum(p["saved"] for p in processes) > 0.9 * 3 * (48 << 20)'
# Linux 6.10 and many after it cannot tell merged pages (docs/kernel.md).
if [ "$(report 'all(p["measured"] for p in processes)')" = True ]; then
	echo "ok: that is the kernel's count"
else
	check "this kernel cannot count them" sh -c 'sksm-report --check | grep -i kpageflags'
fi
sharing=$(($(cat $ksm/pages_sharing) * 4096))
check "and so say its counters: $sharing bytes" test $sharing -gt $((130 << 20))
sksm-report
check "every byte of theirs is right" workers_are_well merged

# Killed in the middle, the unit comes back, with the settings as they were.
systemctl kill --kill-who=main --signal=KILL $unit
check "a killed pacer is started again" wait_until 30 systemctl is-active $unit
check "settings as before" wait_until 10 settings_as_before

# Upgrade.
old=$(main_pid)
check "upgrade" dpkg --install /host/sksm_*-2_*.deb
check "another pacer runs" test "$(main_pid)" != "$old" -a "$(main_pid)" != 0
check "the workers did not notice" workers_are_well upgraded
check "still merged" report_says 'sum(p["saved"] for p in processes) > 0.9 * 3 * (48 << 20)'
systemctl --quiet disable --now $unit
check "a disabled unit" dpkg --install /host/sksm_*-1_*.deb
check "stays disabled" test "$(systemctl is-enabled $unit)" = disabled
systemctl --quiet enable --now $unit

# Remove, install again, purge.
check "remove" dpkg --remove sksm
check "the pacer is gone" test -z "$(pidof sksm-pacer)"
check "settings as before" settings_as_before
check "the workers did not notice" workers_are_well removed
check "install again" dpkg --install /host/sksm_*-2_*.deb
check "the unit is enabled" systemctl is-enabled $unit
check "the unit runs" systemctl is-active $unit
stop_workers
check "purge" dpkg --purge sksm
check "settings as before" settings_as_before
check "no name that was not there" nothing_new
check "nothing is named after us" nothing_of_ours
check "systemd knows no such unit" test "$(systemctl show -p LoadState --value $unit)" = not-found
check "no unit has failed" test -z "$(systemctl --failed --no-legend --plain)"
echo "$failures failures"
journalctl --no-pager -u $unit -o cat >/host/journal
exit $((failures > 0))
