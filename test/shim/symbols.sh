# SPDX-License-Identifier: MIT
# The library exports what it hooks and nothing of its own, and needs the C library only.
. "$SKSM_TEST_SOURCE/test/lib.sh"
need_command nm readelf

nm -D --defined-only "$shim" | awk '{ print $3 }' | sed 's/@.*//' | sort >exports
for name in mmap mmap64 munmap mremap; do
	check "$name is exported" grep -qx "$name" exports
done
grep -i sksm exports && fail "own names are exported"
pass "no name of ours is exported"
# What else is hooked must be a function of the C library: a preload adds nothing new.
libc=$(ldd "$victims/hold" | awk '/libc\.so/ { print $3 }')
nm -D --defined-only "$libc" | awk '{ print $3 }' | sed 's/@.*//' | sort -u >libc_exports
comm -23 exports libc_exports >foreign
[ ! -s foreign ] || fail "exported, but not the C library's: $(tr '\n' ' ' <foreign)"
pass "all exports are the C library's: $(tr '\n' ' ' <exports)"
readelf -d "$shim" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -Ev '^(libc\.so\.6|ld-linux.*)$' >needed
[ ! -s needed ] || fail "needs $(tr '\n' ' ' <needed)"
pass "needs libc only"
check "no executable stack" bash -c "! readelf -lW '$shim' | grep GNU_STACK | grep -q RWE"
check "no text relocations" bash -c "! readelf -d '$shim' | grep -q TEXTREL"
finish
