# SPDX-License-Identifier: MIT
# Every kind of memory is found, also what no hook sees, and reported as what it is.
. "$SKSM_TEST_SOURCE/test/lib.sh"
side_by_side=1
provoke
for how in mmap malloc brk rawmmap memfd-private memfd-shared file; do
	export SKSM_DIR=$T/$how
	SKSM_TRACK=anon,memfd,file compare $how "$victims/hold" --how $how --bytes 20M --seconds 1 \
		--write-half
	case $how in
	memfd-shared) recorded "$how" '.comm == "hold" and .shared_unmergeable >= 20971520 and .merged < 1048576' ;;
	*) recorded "$how" '.comm == "hold" and .tracked >= 20971520 and .tracked < 60000000' ;;
	esac
done
export SKSM_DIR=$T/file_default
compare file_default "$victims/hold" --how file --bytes 20M --seconds 0.5
recorded "private files are not tracked unless asked" '.comm == "hold" and .tracked < 20971520'
export SKSM_DIR=$T/memfd_only
SKSM_TRACK=memfd compare memfd_only "$victims/hold" --how malloc --bytes 20M --seconds 0.5
check "only what was asked for" test \
	"$(json '[.processes[] | select(.tracked > 1048576)] | length')" = 0
# The threshold's edges.
for bytes in 1048576 1044480 1052672; do
	export SKSM_DIR=$T/edge$bytes
	SKSM_THRESHOLD=1M compare "edge$bytes" "$victims/hold" --bytes $bytes --seconds 0.5
done
export SKSM_DIR=$T/edge1048576
recorded "a mapping of just the threshold is tracked" '.comm == "hold" and .tracked >= 1048576'
finish
