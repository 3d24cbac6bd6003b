/* SPDX-License-Identifier: MIT */
#include "symbol.h"

#include <dlfcn.h>
#include <dwarf.h>
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "text.h"

static char *debug_path;	/* NULL: libdw's default, /usr/lib/debug among others */

static const Dwfl_Callbacks callbacks = {
	.find_elf = dwfl_build_id_find_elf,
	.find_debuginfo = dwfl_standard_find_debuginfo,
	.section_address = dwfl_offline_section_address,
	.debuginfo_path = &debug_path,
};

/* A record names it, another user's too: opening a device may start something. */
static int open_trusted(const char *path)
{
	int path_fd = open(path, O_PATH | O_CLOEXEC), fd = -1;
	struct stat status;
	char own[64];

	if (path_fd < 0)
		return -1;
	snprintf(own, sizeof(own), "/proc/self/fd/%d", path_fd);
	if (!fstat(path_fd, &status) && S_ISREG(status.st_mode) &&
	    (status.st_uid == 0 || status.st_uid == geteuid()))
		fd = open(own, O_RDONLY | O_CLOEXEC);
	close(path_fd);
	return fd;
}

static bool is_same(Dwfl_Module *elf, const struct sksm_symbol_module *module)
{
	const unsigned char *bits;
	GElf_Addr address;
	int length;

	/* Without a build-id there is nothing to tell an older file by. */
	if (!module->build_id_bytes)
		return true;
	length = dwfl_module_build_id(elf, &bits, &address);
	return length == (int)module->build_id_bytes &&
	       !memcmp(bits, module->build_id, module->build_id_bytes);
}

/* Each module has a Dwfl of its own, so that its addresses are those of the file. */
static bool try_file(struct sksm_symbol_module *module, const char *path)
{
	int fd = open_trusted(path);
	Dwfl *dwfl = fd < 0 ? NULL : dwfl_begin(&callbacks);
	Dwfl_Module *elf = NULL;

	if (dwfl) {
		dwfl_report_begin(dwfl);
		/* On success the descriptor is the library's. */
		elf = dwfl_report_elf(dwfl, path, path, fd, 0, true);
		if (elf)
			fd = -1;
		dwfl_report_end(dwfl, NULL, NULL);
	}
	if (fd >= 0)
		close(fd);
	if (elf && is_same(elf, module)) {
		module->dwfl = dwfl;
		module->elf = elf;
		return true;
	}
	if (dwfl)
		dwfl_end(dwfl);
	return false;
}

static void open_module(struct sksm_symbol_module *module)
{
	char path[64 + 2 * 64], *p;
	unsigned int i;

	if (module->opened)
		return;
	module->opened = true;
	if (module->path[0] == '/' && try_file(module, module->path))
		return;
	/* The file was replaced or removed; what the distribution keeps of it may be there. */
	if (module->build_id_bytes < 2 || module->build_id_bytes > 64)
		return;
	p = path + sprintf(path, "/usr/lib/debug/.build-id/%02x/", module->build_id[0]);
	for (i = 1; i < module->build_id_bytes; i++)
		p += sprintf(p, "%02x", module->build_id[i]);
	strcpy(p, ".debug");
	try_file(module, path);
}

typedef char *(*demangle_fn)(const char *name, char *buffer, size_t *length, int *status);

/* The names of C++ as they are written, where the library that knows how is there. */
static char *demangle(const char *name)
{
	static demangle_fn function;
	static bool tried;
	int status;

	if (!tried) {
		void *library = dlopen("libstdc++.so.6", RTLD_LAZY | RTLD_LOCAL);

		tried = true;
		if (library)
			function = (demangle_fn)dlsym(library, "__cxa_demangle");
	}
	return function && !strncmp(name, "_Z", 2) ? function(name, NULL, NULL, &status) : NULL;
}

/* Texts from a file that anybody may have made go to a terminal and into JSON. */
static char *clean_copy(const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = malloc(size);

	if (copy)
		sksm_text_clean(copy, size, text);
	return copy;
}

static int add_symbol(struct sksm_symbols *symbols, const char *function, const char *file,
		      unsigned int line, bool inlined)
{
	struct sksm_symbol *list, *symbol;
	char *plain;

	list = reallocarray(symbols->list, symbols->count + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	symbols->list = list;
	symbol = &list[symbols->count++];
	plain = function ? demangle(function) : NULL;
	symbol->function = function ? clean_copy(plain ? plain : function) : NULL;
	free(plain);
	symbol->file = file ? clean_copy(file) : NULL;
	symbol->line = line;
	symbol->inlined = inlined;
	return 0;
}

/* Where the body of the inlined @die was called from. */
static const char *call_place(Dwarf_Die *die, unsigned int *ret_line)
{
	Dwarf_Attribute attribute;
	Dwarf_Word number = 0, line = 0;
	Dwarf_Files *files;
	Dwarf_Die cu;
	size_t count;

	*ret_line = 0;
	if (dwarf_formudata(dwarf_attr(die, DW_AT_call_line, &attribute), &line) == 0)
		*ret_line = (unsigned int)line;
	if (dwarf_formudata(dwarf_attr(die, DW_AT_call_file, &attribute), &number) ||
	    !dwarf_diecu(die, &cu, NULL, NULL) || dwarf_getsrcfiles(&cu, &files, &count) ||
	    number >= count)
		return NULL;
	return dwarf_filesrc(files, number, NULL, NULL);
}

static const char *name_of(Dwarf_Die *die)
{
	Dwarf_Attribute attribute;
	const char *name = dwarf_formstring(dwarf_attr_integrate(die, DW_AT_name, &attribute));

	return name ? name : dwarf_formstring(dwarf_attr_integrate(die, DW_AT_linkage_name,
								    &attribute));
}

/* The functions that enclose the address, by the debug information. -ENOENT: there is none. */
static int find_scopes(Dwfl_Module *elf, uint64_t address, const char *file, int line,
		       struct sksm_symbols *ret)
{
	Dwarf_Die *scopes = NULL, *chain = NULL, *cu;
	unsigned int at_line = (unsigned int)line;
	int count, i, error = -ENOENT;
	Dwarf_Addr bias;

	cu = dwfl_module_addrdie(elf, address, &bias);
	if (!cu || dwarf_getscopes(cu, address - bias, &scopes) <= 0)
		return -ENOENT;
	/* From the innermost one outwards as it was compiled, not as it was written. */
	count = dwarf_getscopes_die(&scopes[0], &chain);
	for (i = 0; i < count && (!error || error == -ENOENT); i++) {
		int tag = dwarf_tag(&chain[i]);

		if (tag != DW_TAG_inlined_subroutine && tag != DW_TAG_subprogram)
			continue;
		error = add_symbol(ret, name_of(&chain[i]), file, at_line,
				   tag == DW_TAG_inlined_subroutine);
		if (tag == DW_TAG_subprogram)
			break;
		file = call_place(&chain[i], &at_line);
	}
	free(scopes);
	free(chain);
	return error;
}

static int find_by_symbol(Dwfl_Module *elf, uint64_t address, const char *file, int line,
			  struct sksm_symbols *ret)
{
	GElf_Off offset = 0;
	const char *name;
	GElf_Sym symbol;

	name = dwfl_module_addrinfo(elf, address, &offset, &symbol, NULL, NULL, NULL);
	/* The nearest one below says nothing where the function's own was stripped. */
	if (name && offset >= symbol.st_size)
		name = NULL;
	return add_symbol(ret, name, file, (unsigned int)line, false);
}

int sksm_symbol_find(struct sksm_symbol_module *module, uint64_t address,
		     struct sksm_symbols *ret)
{
	const char *file = NULL;
	int line = 0, error;
	Dwfl_Line *at;

	memset(ret, 0, sizeof(*ret));
	open_module(module);
	if (!module->elf)
		return add_symbol(ret, NULL, NULL, 0, false);
	at = dwfl_module_getsrc(module->elf, address);
	if (at)
		file = dwfl_lineinfo(at, NULL, &line, NULL, NULL, NULL);
	error = find_scopes(module->elf, address, file, line, ret);
	return error == -ENOENT ? find_by_symbol(module->elf, address, file, line, ret) : error;
}

void sksm_symbols_fini(struct sksm_symbols *symbols)
{
	size_t i;

	for (i = 0; i < symbols->count; i++) {
		free(symbols->list[i].function);
		free(symbols->list[i].file);
	}
	free(symbols->list);
	memset(symbols, 0, sizeof(*symbols));
}

void sksm_symbol_module_fini(struct sksm_symbol_module *module)
{
	if (module->dwfl)
		dwfl_end(module->dwfl);
	free(module->path);
	free(module->build_id);
	memset(module, 0, sizeof(*module));
}

void sksm_symbol_place(const struct sksm_symbol_module *module, uint64_t address, char *ret,
		       size_t size)
{
	const char *base = strrchr(module->path, '/');
	char name[256];

	base = base ? base + 1 : module->path;
	sksm_text_clean(name, sizeof(name), *base ? base : "?");
	snprintf(ret, size, "%s+0x%" PRIx64, name, address);
}
