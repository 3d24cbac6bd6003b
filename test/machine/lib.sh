# SPDX-License-Identifier: MIT
#
# What the commands share that boot a Debian (test/package, test/compat/system): making one and the
# package, and booting it to run one script in it.
# shellcheck shell=bash
suite=bookworm

# The mirror that this machine uses itself.
find_mirror() {
	apt-get indextargets --format '$(SITE) $(CODENAME)' 'Created-By: Packages' |
		awk -v suite=$suite '$2 == suite { print $1; exit }'
}

# make_tarball FILE PACKAGE...: a fresh Debian with these packages, made once and kept.
make_tarball() {
	local file=$1 root=$1.root packages
	shift

	packages=$(IFS=,; echo "$*")
	[ "$(cat "$file.packages" 2>/dev/null)" != "$packages" ] || [ ! -s "$file" ] || return 0
	rm -rf "$root" "$file"
	debootstrap --variant=minbase --include="$packages" $suite "$root" "$(find_mirror)" \
		>"$file.log" 2>&1 || { tail -n 20 "$file.log"; return 1; }
	rm -f "$root"/var/cache/apt/archives/*.deb
	tar -C "$root" --numeric-owner --xattrs -cf "$file.part" . || return 1
	mv "$file.part" "$file"
	rm -rf "$root"
	echo "$packages" >"$file.packages"
}

# make_packages BUILD TO: the Debian package, as two releases, one of which upgrades the other.
# BUILD keeps the logs.
make_packages() {
	local build=$1 to=$2 release

	mkdir -p "$build"
	cmake -S . -B "$build/build" -G Ninja -DCMAKE_INSTALL_PREFIX=/usr -DSKSM_TESTS=OFF \
		-DSKSM_WERROR=ON >"$build/configure.log" 2>&1 ||
		{ cat "$build/configure.log"; return 1; }
	cmake --build "$build/build" | tail -n 1
	for release in 1 2; do
		(cd "$build/build" && cpack -G DEB -D CPACK_DEBIAN_PACKAGE_RELEASE=$release -B "$to") \
			>"$build/cpack.log" 2>&1 || { cat "$build/cpack.log"; return 1; }
	done
	rm -rf "$to/_CPack_Packages"
}

# install_script ROOT COMMAND: systemd runs COMMAND once when everything else is up, and then
# shuts down. Its output and exit status are files of /host.
install_script() {
	local unit=$1/etc/systemd/system/test-script.service

	cat >"$unit" <<-END
		[Unit]
		After=multi-user.target
		[Service]
		Type=oneshot
		ExecStart=/bin/sh -c '$2; echo \$? >/host/status'
		ExecStopPost=/bin/systemctl --no-block poweroff
		StandardOutput=append:/host/output
		StandardError=append:/host/output
		TimeoutStartSec=${script_seconds:-600}
		[Install]
		WantedBy=default.target
	END
	mkdir -p "$1/etc/systemd/system/default.target.wants"
	ln -sf ../test-script.service "$1/etc/systemd/system/default.target.wants/"
}

# boot_container ROOT HOST [OPTION...]: systemd is pid 1 of a container on this kernel; HOST of
# this machine is its /host. Returns when it has shut down.
boot_container() {
	local root=$1 host=$2
	shift 2

	timeout -k 10 900 systemd-nspawn --quiet --directory="$root" --register=no --keep-unit \
		--console=pipe --bind="$host:/host" "$@" --boot </dev/null >"$host/console" 2>&1
}
