# SPDX-License-Identifier: MIT
# A program that gives root up: nothing keeps what it gave up, and nothing aborts.
. "$SKSM_TEST_SOURCE/test/lib.sh"
side_by_side=1
need_root
provoke
mkdir -m 1777 shared
export SKSM_DIR=$T/shared/sksm
for way in setuid setresuid keepcaps securebits capset raw; do
	for delay in 0 10 300; do
		compare "$way$delay" "$victims/ids" $way $delay
	done
done
SKSM_INTERVAL_MS=1000 compare raw_slow "$victims/ids" raw 3000
recorded "it was tracked before" '.comm == "ids" and .tracked > 60000000'
need_command setpriv
compare setpriv setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set -all \
	--inh-caps -all --no-new-privs -- id
finish
