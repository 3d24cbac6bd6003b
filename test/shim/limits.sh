# SPDX-License-Identifier: MIT
# Limits, and what daemons do to all descriptors.
. "$SKSM_TEST_SOURCE/test/lib.sh"
provoke
for limit in nofile as closeall dup2; do
	compare $limit "$victims/limits" $limit
	recorded "$limit was tracked" \
		".command | test(\"limits $limit\$\")"
done
if [ "$(id -u)" = 0 ]; then
	mkdir -m 777 nobody
	SKSM_DIR=$T/nobody/sksm compare nproc "$victims/limits" nproc
fi
finish
