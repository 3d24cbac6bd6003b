# SPDX-License-Identifier: MIT
# fakeroot: its own preloaded library beside ours, in a user's processes; a package that it builds.
quick=1
tracks='tar|xz|python|dpkg-deb'
need_command fakeroot dpkg-deb python3
[ "$(id -u)" != 0 ] || need_command setpriv
version() { fakeroot --version | head -n 1; }

work() {
	user_dir user
	cd user || return
	cat >inside.sh <<'SH'
id -u; id -g; whoami
mkdir -p tree/DEBIAN tree/usr/share/x
seq 200000 >tree/usr/share/x/numbers
touch owned && chown 12:34 owned && stat -c '%u:%g %a' owned
mknod device c 1 3 && stat -c '%F %t %T' device
chmod 4755 owned && stat -c %a owned
tar cf all.tar owned device && tar tvf all.tar | cut -c1-40
printf 'Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n' >tree/DEBIAN/control
SOURCE_DATE_EPOCH=1700000000 dpkg-deb -Zxz --root-owner-group --build tree x.deb >/dev/null
dpkg-deb -c x.deb | cut -c1-30
dpkg-deb --fsys-tarfile x.deb | tar -xO ./usr/share/x/numbers | cksum
python3 -c '
import os, time
block = b"x" * (32 << 20)
os.chown("owned", 0, 0)
time.sleep(0.5)
print(os.getuid(), os.stat("owned").st_uid, block.count(b"x"))
pid = os.fork()
if not pid:
    os._exit(os.getuid() + 3)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
os.setuid(33)
print(os.getuid())'
ls -ln owned device | cut -d' ' -f1-4
exit 6
SH
	as_user fakeroot -s state bash inside.sh
	echo "-> $?"
	step again as_user fakeroot -i state stat -c '%u:%g %a %F' owned device
	step outside stat -c '%a %F' device
	exits 1 error as_user fakeroot cat no-such-file
}
