# SPDX-License-Identifier: MIT
# gcc: this project's own engine at -O2 with link-time optimisation, from several jobs; messages.
quick=1
tracks='cc1|lto1'
limit=400
need_command gcc make cksum
version() { gcc --version | head -n 1; }

work() {
	local source=$COMPAT_SOURCE

	cp -r "$source/tracker" "$source/test" .
	cat >Makefile <<'MAKE'
sources := $(wildcard tracker/*.c)
objects := $(notdir $(sources:.c=.o))
all: $(objects)
%.o: tracker/%.c
	gcc -O2 -g -flto -ffat-lto-objects -D_GNU_SOURCE -DNDEBUG -I. -frandom-seed=$* -c -o $@ $<
MAKE
	[ -z "$COMPAT_QUICK" ] || sed -i 's/-flto -ffat-lto-objects//' Makefile
	step make make -s -j2
	cksum ./*.o
	gcc -O2 -D_GNU_SOURCE -o mapper test/victims/mapper.c -pthread
	step program ./mapper 3 1000 200
	cksum mapper
	echo 'int f(int *p) { int i; return p[i] + x; }' >wrong.c
	exits 1 messages gcc -Wall -c wrong.c
	step macros bash -c 'echo "#include <stdio.h>" | gcc -E -dM - | sort | cksum'
	# What one large function does to the compiler's memory.
	awk -v n="$(amount 6000 1500)" 'BEGIN { print "int f(int a) {"; for (i = 0; i < n; i++)
		printf "a = a * %d + (a >> %d);\n", 2 * i + 1, i % 13 + 1; print "return a; }" }' >large.c
	step large gcc -O2 -S large.c
	cksum large.s
	step g++ bash -c 'command -v g++ >/dev/null || exit 0
		printf "#include <map>\n#include <string>\n#include <iostream>\nint main() { std::map<std::string, int> m; for (int i = 0; i < 300000; i++) m[std::to_string(i)] = i; std::cout << m.size() << m[\"777\"] << std::endl; }" >m.cc
		g++ -O2 -o m m.cc && ./m'
}
