/* SPDX-License-Identifier: MIT */
/*
 * Names for addresses of code, by libdw: functions (inlined ones too), files and lines, also from
 * separate debug files. A file is looked into only where it is the one that was mapped (build-id),
 * and belongs to root or to the user who asks: paths come from other users' processes.
 */
#ifndef SKSM_SYMBOL_H
#define SKSM_SYMBOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sksm_symbol_module {
	char *path;		/* "": not known */
	uint8_t *build_id;
	unsigned int build_id_bytes;
	struct Dwfl *dwfl;	/* once it was opened; NULL also where it cannot be */
	struct Dwfl_Module *elf;
	bool opened;
};

/* One function at an address. Several where some were inlined, innermost first. */
struct sksm_symbol {
	char *function;		/* NULL: not known */
	char *file;		/* NULL: not known */
	unsigned int line;
	bool inlined;
};

struct sksm_symbols {
	struct sksm_symbol *list;	/* at least one */
	size_t count;
};

/*
 * What is at @address, as the symbols of @module count. 0 or -ENOMEM. An unknown place is one
 * symbol without a function.
 */
int sksm_symbol_find(struct sksm_symbol_module *module, uint64_t address,
		     struct sksm_symbols *ret);
void sksm_symbols_fini(struct sksm_symbols *symbols);

/* Let go of what was opened, and of path and build_id, which are the module's own. */
void sksm_symbol_module_fini(struct sksm_symbol_module *module);

/* "libc.so.6+0x1234", the module by its base name. */
void sksm_symbol_place(const struct sksm_symbol_module *module, uint64_t address, char *ret,
		       size_t size);

#endif
