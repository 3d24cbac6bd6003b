# SPDX-License-Identifier: MIT
# Limits, and what daemons do to all descriptors.
. "$SKSM_TEST_SOURCE/test/lib.sh"
provoke
for limit in nofile as closeall dup2; do
	compare $limit "$victims/limits" $limit
	recorded "$limit was tracked" \
		".command | test(\"limits $limit\$\")"
done
compare room bash -c 'ulimit -v 1310720; exec "$@"' - "$victims/limits" room
recorded "room was tracked" \
	'(.command | test("limits room$")) and .tracked >= 16777216 and .passes > 5'
if [ "$(id -u)" = 0 ]; then
	mkdir -m 777 nobody
	export SKSM_DIR=$T/nobody/sksm
	compare nproc "$victims/limits" nproc
	recorded "the record says why nothing is tracked" \
		'.comm == "limits" and .dormant != null and (.dormant | test("thread"))'
fi
finish
