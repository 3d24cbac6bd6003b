# SPDX-License-Identifier: MIT
# Where a sanitizer or valgrind runs the program, the shim stays out of the way.
. "$SKSM_TEST_SOURCE/test/lib.sh"
need_command gcc
provoke
# Any preload makes ASan complain that its runtime does not come first.
export ASAN_OPTIONS=verify_asan_link_order=0
for sanitizer in address thread undefined; do
	gcc -O1 -D_GNU_SOURCE -fsanitize=$sanitizer "$SKSM_TEST_SOURCE/test/victims/hold.c" \
		-o "$T/hold-$sanitizer" 2>"$T/gcc.err" || { echo "no -fsanitize=$sanitizer here"; continue; }
	# ThreadSanitizer needs a layout of memory that it knows.
	compare $sanitizer setarch -R "$T/hold-$sanitizer" --bytes 8M --seconds 1 --write-half
done
if command -v valgrind >/dev/null; then
	compare valgrind valgrind -q "$victims/hold" --bytes 4M --seconds 1 --write-half
fi
finish
