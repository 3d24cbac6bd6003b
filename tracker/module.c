/* SPDX-License-Identifier: MIT */
#include "module.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#include "abi.h"
#include "sys.h"

#define NOTE_MAX_BYTES 65536

bool sksm_readable(uint64_t address)
{
	/* The set is copied before the unknown @how is refused. */
	return sksm_call4(SYS_rt_sigprocmask, -1, address, 0, 8) == -EINVAL;
}

/* The program headers of the object at @base, within its first page; NULL: none there. */
static const Elf64_Phdr *program_headers(uint64_t base, unsigned int *ret_count)
{
	const Elf64_Ehdr *header = (const Elf64_Ehdr *)base;

	if (base % SKSM_PAGE_BYTES || !sksm_readable(base) ||
	    memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
	    header->e_ident[EI_CLASS] != ELFCLASS64 ||
	    header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phoff % 8 ||
	    header->e_phoff > SKSM_PAGE_BYTES ||
	    header->e_phnum > (SKSM_PAGE_BYTES - header->e_phoff) / sizeof(Elf64_Phdr))
		return NULL;
	*ret_count = header->e_phnum;
	return (const Elf64_Phdr *)(base + header->e_phoff);
}

/* What the addresses in the file are off by. The first segment is the one at @base. */
static uint64_t load_bias(uint64_t base, const Elf64_Phdr *headers, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		if (headers[i].p_type == PT_LOAD)
			return base - (headers[i].p_vaddr & -SKSM_PAGE_BYTES);
	return base;
}

bool sksm_module_segment(uint64_t base, uint64_t address, uint64_t *ret_start, uint64_t *ret_end)
{
	unsigned int count = 0;
	const Elf64_Phdr *headers = program_headers(base, &count);
	uint64_t bias;

	if (!headers)
		return false;
	bias = load_bias(base, headers, count);
	for (unsigned int i = 0; i < count; i++) {
		uint64_t start = bias + headers[i].p_vaddr;

		if (headers[i].p_type != PT_LOAD || !(headers[i].p_flags & PF_R) ||
		    address < start || address - start >= headers[i].p_filesz)
			continue;
		*ret_start = start;
		*ret_end = start + headers[i].p_filesz;
		return true;
	}
	return false;
}

/* The build-id among the notes in [@p, @end). */
static unsigned int find_note(const uint8_t *p, const uint8_t *end, uint8_t *ret)
{
	while ((size_t)(end - p) > sizeof(Elf64_Nhdr)) {
		const Elf64_Nhdr *note = (const Elf64_Nhdr *)p;
		uint64_t name = (note->n_namesz + 3ull) & ~3ull;
		uint64_t text = (note->n_descsz + 3ull) & ~3ull;

		p += sizeof(*note);
		if (name + text > (size_t)(end - p))
			return 0;
		if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 &&
		    memcmp(p, ELF_NOTE_GNU, 4) == 0 && note->n_descsz <= SKSM_BUILD_ID_MAX) {
			memcpy(ret, p + name, note->n_descsz);
			return note->n_descsz;
		}
		p += name + text;
	}
	return 0;
}

unsigned int sksm_module_build_id(uint64_t base, uint8_t ret[SKSM_BUILD_ID_MAX])
{
	unsigned int count = 0, length = 0;
	const Elf64_Phdr *headers = program_headers(base, &count);
	uint64_t bias;

	if (!headers)
		return 0;
	bias = load_bias(base, headers, count);
	for (unsigned int i = 0; i < count && !length; i++) {
		uint64_t start = bias + headers[i].p_vaddr, segment, end;

		/* Notes of 8 bytes' alignment are others'. */
		if (headers[i].p_type != PT_NOTE || headers[i].p_align > 4 || start % 4 ||
		    headers[i].p_memsz > NOTE_MAX_BYTES ||
		    !sksm_module_segment(base, start, &segment, &end) ||
		    headers[i].p_memsz > end - start)
			continue;
		length = find_note((const uint8_t *)start,
				   (const uint8_t *)start + headers[i].p_memsz, ret);
	}
	return length;
}
