# SPDX-License-Identifier: MIT
# cmake --install: these files and no others, they find one another, and systemd takes the unit.
. "$SKSM_TEST_SOURCE/test/lib.sh"
need_command cmake

cached() {
	sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"
}

prefix=$(cached CMAKE_INSTALL_PREFIX)
lib=$(sed -n 's/.*DESTINATION "${CMAKE_INSTALL_PREFIX}\/\([^"]*\)".*/\1/p' \
	"$build/shim/cmake_install.cmake")
DESTDIR=$T/root cmake --install "$build" >install.out 2>install.err || fail "cmake --install"
(cd root && find . ! -type d -printf '/%P %m\n' | sort) >found
sed '/^$/d' <<-END | sort >expected
	$prefix/bin/sksm-report 755
	$prefix/bin/sksm-run 755
	$prefix/lib/systemd/system/sksm-pacer.service 644
	$prefix/lib/tmpfiles.d/sksm.conf 644
	$prefix/include/sksm.h 644
	$prefix/$lib/libsksm.a 644
	$prefix/$lib/libsksm.so 777
	$prefix/$lib/libsksm.so.0 777
	$prefix/$lib/libsksm.so.0.1.0 644
	$prefix/$lib/libsksm_preload.so 644
	$prefix/$lib/pkgconfig/sksm.pc 644
	$prefix/sbin/sksm-pacer 755
	$(for file in bash-completion/completions/sksm-{pacer,report,run} \
		      sksm/{diagnosis,estimate,report}.schema.json; do
		echo "$prefix/share/$file 644"
	done)
	$(for page in 1/sksm-report.1 1/sksm-run.1 5/sksm-record.5 7/sksm.7 8/sksm-pacer.8; do
		echo "$prefix/share/man/man$page.gz 644"
	done)
	$(cd "$source_dir" && find README.md docs/{machine,options,security}.md docs/examples -type f |
		sed "s|^\(docs/\)\?|$prefix/share/doc/sksm/|; s|$| 644|")
END
check "what is installed" diff expected found

# From where they are, they find one another.
at=$T/root$prefix
check "sksm-run finds the library" test \
	"$("$at/bin/sksm-run" --no-pacer -- sh -c 'echo "$LD_PRELOAD"')" = "$at/$lib/libsksm_preload.so"
check "sksm-report runs" \
	"$at/bin/sksm-report" --finished
if [ "$(id -u)" = 0 ] && [ -w $ksm/run ]; then
	pacer_of_tree() {
		[ -n "$(running "$at/sbin/sksm-pacer")" ]
	}
	start run "$at/bin/sksm-run" -- sleep 3
	check "sksm-run finds the pacer" wait_until 3 pacer_of_tree
	wait "$pid"
fi

unit=$at/lib/systemd/system/sksm-pacer.service
check "the unit starts what is installed" grep -qx "ExecStart=$prefix/sbin/sksm-pacer --wait" "$unit"
if command -v systemd-analyze >/dev/null; then
	# The programs it names have to be there, and so do the manual pages.
	mkdir unit
	sed "s|=\(-\?\)$prefix/|=\1$at/|; /^Documentation=/d" "$unit" >unit/sksm-pacer.service
	systemd-analyze verify --man=no unit/sksm-pacer.service >verify.out 2>&1
	check "systemd-analyze verify" test $? = 0 -a ! -s verify.out
	# 1.0 to 10.0 is "how exposed"; the option counts in tenths.
	systemd-analyze security --offline=yes --threshold=25 unit/sksm-pacer.service >security.out 2>&1
	check "systemd-analyze security: $(tail -n 1 security.out)" test $? = 0
else
	echo "not here: systemd-analyze"
fi
if command -v systemd-tmpfiles >/dev/null && [ "$(id -u)" = 0 ]; then
	check "systemd-tmpfiles" systemd-tmpfiles --create --root="$T/root" "$at/lib/tmpfiles.d/sksm.conf"
	check "/run/sksm is root's alone" test "$(stat -c '%u %g %a' root/run/sksm)" = "0 0 700"
else
	echo "not here: systemd-tmpfiles"
fi
check "ksm settings as before" ksm_as_before
finish
