# SPDX-License-Identifier: MIT
# Memory that is written all the time is neither armed for long nor merged, and stays right.
. "$SKSM_TEST_SOURCE/test/lib.sh"
side_by_side=1
provoke
compare hot "$victims/hold" --bytes 32M --content zero --touch-every 5 --seconds 4
recorded "hot memory is seen as hot" '.comm == "hold" and .hot > 0 and .writes_seen > 0'
compare same "$victims/hold" --bytes 32M --content repeat --seconds 4 --write-half
if [ "$(id -u)" = 0 ] && [ -w $ksm/run ]; then
	recorded "repeated pages were merged" '.command | test("repeat")'
	recorded "and broken again by the writes" '(.command | test("repeat")) and .duplicate > 0'
fi
finish
