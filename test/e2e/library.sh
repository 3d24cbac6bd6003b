# SPDX-License-Identifier: MIT
# libsksm: what its header promises; installed, found by pkg-config, linked both ways.
. "$SKSM_TEST_SOURCE/test/e2e.lib.sh"
need_root
need_ksm
need_command nm
ksmd_on 4000
echo 1 >$ksm/use_zero_pages

trackers="wp digest"
"$sksm_report" --check >check.out || true
grep -q '^yes *pagemap_scan' check.out || trackers=digest
echo "trackers: $trackers"
# Scans that follow at once make smart scan keep twins apart, by scans that no pass sees.
runs=0
for run in $(printf '%s-20 ' $trackers) "${trackers%% *}-1"; do
	tracker=${run%-*}
	echo "${run#*-}" >$ksm/sleep_millisecs
	timeout -k 5 $((150 * slow)) "$build/test/library" 1500 TRACKER=$tracker >$run.out 2>$run.err ||
		flunk "$run: exit status $?"
	cat $run.out
	check "$run: all that is promised" \
		test "$(grep -c '^ok: ' $run.out)-$(grep -c '^FAIL' $run.out)" = 26-0
	runs=$((runs + 1))
done
echo 20 >$ksm/sleep_millisecs
report() {
	"$sksm_report" --json --finished | jq -e "$1" >/dev/null
}
check "sksm-report knows it" env SKSM_DOMAIN=default bash -c \
	"'$sksm_report' --json | jq -e '[.processes[] | select(.comm == \"library\" and .state == \"exited\" and .passes > 3)] | length == $runs'"

nm -D --defined-only "$build"/tracker/libsksm.so | awk '$2 != "A" { print $3 }' | sort >exported
sed -n 's/^SKSM_API .*\(sksm_[a-z_]*\)(.*/\1@@SKSM_0/p' "$source_dir/tracker/sksm.h" | sort >declared
check "what is declared is exported, with a version, and nothing else" diff declared exported

command -v cc >/dev/null && command -v pkg-config >/dev/null ||
	{ echo "not here: a compiler and pkg-config"; finish; }
DESTDIR=$T/root cmake --install "$build" >install.out || fail "cmake --install"
pc=$(find root -name sksm.pc)
check "sksm.pc is installed" test -n "$pc"
export PKG_CONFIG_PATH=$T/${pc%/*} PKG_CONFIG_SYSROOT_DIR=$T/root
lib=$(dirname "$(find "$T/root" -name libsksm.so)")
# shellcheck disable=SC2046
check "the example is compiled as its head says" cc -Wall -Werror \
	"$source_dir/docs/examples/library.c" $(pkg-config --cflags --libs sksm) -o example
# shellcheck disable=SC2046
check "and linked statically" cc -Wall -Werror "$source_dir/docs/examples/library.c" \
	$(pkg-config --cflags sksm) "$lib/libsksm.a" -pthread -o example-static
export SKSM_DIR=$T/examples
for example in example example-static; do
	LD_LIBRARY_PATH=$lib ./$example >$example.out 2>$example.err
	check "$example: exit status" test $? = 0
	cat $example.out $example.err
	check "$example: 128 MiB have a twin and are merged" \
		grep -q '^ksm, .*: 128 MiB watched, 128 have a twin, 128 merged, 6[0-9] saved' $example.out
done
finish
