# SPDX-License-Identifier: MIT
# gcc: the same objects and the same messages.
. "$SKSM_TEST_SOURCE/test/lib.sh"
need_command cc
provoke
cp "$source_dir"/test/victims/{hold,mapper,forker}.c "$source_dir/test/victims/victim.h" .
build_all() {
	for file in hold mapper forker; do
		cc -O2 -D_GNU_SOURCE -c -o $file.o $file.c || return
	done
	cc -o all.exe mapper.o && cksum ./*.o all.exe
}
export -f build_all
compare gcc bash -c build_all
compare error bash -c 'echo "int main(void) { return x; }" | cc -x c -'
check "the compiler ran" test "$(wc -l <gcc.out)" = 4
recorded "the compiler" '.comm == "cc1" and .tracked > 0 and .passes > 0'
compare make bash -c 'printf "all: hold.o mapper.o forker.o\n%%.o: %%.c\n\tcc -O1 -D_GNU_SOURCE -c -o \$@ \$<\n" >Makefile; rm -f ./*.o; make -s -j2 && cksum ./*.o'
finish
