/* SPDX-License-Identifier: MIT */
#include "unwind.h"

#include <stdbool.h>
#include <string.h>
#include <sys/ucontext.h>

#include "abi.h"
#include "cfi.h"
#include "module.h"

/* A frame larger than this is not believed. */
#define FRAME_MAX_BYTES (64ull << 20)

static uint64_t mix(uint64_t value)
{
	value *= 0x9e3779b97f4a7c15ull;
	return value ^ value >> 29;
}

#if defined(__x86_64__)

/* The stack as far as it is known to be readable: whole pages. */
struct window {
	uint64_t start;
	uint64_t end;
};

static bool load(struct window *window, uint64_t address, uint64_t *ret)
{
	uint64_t page = address & -SKSM_PAGE_BYTES;

	if (address % 8)
		return false;
	if (address < window->start || address >= window->end) {
		if (!sksm_readable(address))
			return false;
		if (page != window->end)
			window->start = page;
		window->end = page + SKSM_PAGE_BYTES;
	}
	*ret = *(const uint64_t *)address;
	return true;
}

/*
 * An entry of the cache: the rule, and the rule and its key combined, so that a reader who meets a
 * writer sees that they do not belong together. A rule is packed into 64 bits where it fits.
 */
static bool pack(const struct sksm_cfi_rule *rule, uint64_t *ret)
{
	if (rule->cfa_offset != (int32_t)((uint32_t)rule->cfa_offset << 3) >> 3 ||
	    rule->bp_offset != (int32_t)((uint32_t)rule->bp_offset << 3) >> 3)
		return false;
	*ret = 1ull << 63 | (uint64_t)rule->cfa << 60 | (uint64_t)rule->bp << 58 |
	       ((uint64_t)(uint32_t)rule->cfa_offset & 0x1fffffff) << 29 |
	       ((uint64_t)(uint32_t)rule->bp_offset & 0x1fffffff);
	return true;
}

static void unpack(uint64_t packed, struct sksm_cfi_rule *ret)
{
	ret->cfa = packed >> 60 & 7;
	ret->bp = packed >> 58 & 3;
	ret->cfa_offset = (int32_t)((uint32_t)(packed >> 29) << 3) >> 3;
	ret->bp_offset = (int32_t)((uint32_t)packed << 3) >> 3;
}

/* Not with what every call needs of the stack. */
__attribute__((noinline)) static bool find_rule(const struct dl_find_object *object, uint64_t pc,
						struct sksm_cfi_rule *ret)
{
	uint64_t start, end, header = (uintptr_t)object->dlfo_eh_frame;

	return header &&
	       sksm_module_segment((uintptr_t)object->dlfo_map_start, header, &start, &end) &&
	       !sksm_cfi_find((const void *)header, (const void *)start, (const void *)end, pc,
			      ret);
}

/* The rule at @pc in @object, from the cache where it is there. */
static void get_rule(struct sksm_unwind_cache *cache, const struct dl_find_object *object,
		     uint64_t pc, struct sksm_cfi_rule *ret)
{
	/* Where another object lies now, a rule of the one before must not be taken. */
	uint64_t key = pc ^ mix((uintptr_t)object->dlfo_eh_frame), packed, check;
	uint64_t *word = cache->word[mix(key) % SKSM_UNWIND_RULES];

	check = __atomic_load_n(&word[0], __ATOMIC_RELAXED);
	packed = __atomic_load_n(&word[1], __ATOMIC_RELAXED);
	if (packed && (check ^ packed) == key) {
		unpack(packed, ret);
		return;
	}
	if (!find_rule(object, pc, ret))
		memset(ret, 0, sizeof(*ret));
	if (pack(ret, &packed)) {
		__atomic_store_n(&word[0], key ^ packed, __ATOMIC_RELAXED);
		__atomic_store_n(&word[1], packed, __ATOMIC_RELAXED);
	}
}

/*
 * The kernel's signal frame: the stack pointer at the restorer is that of the context. What was
 * interrupted need not have been at a call.
 */
static bool step_signal(struct window *window, struct sksm_frame *frame)
{
	const ucontext_t *context = (const ucontext_t *)frame->sp;
	struct sksm_frame next;

	if (!load(window, (uintptr_t)&context->uc_mcontext.gregs[REG_RBP], &next.bp) ||
	    !load(window, (uintptr_t)&context->uc_mcontext.gregs[REG_RSP], &next.sp) ||
	    !load(window, (uintptr_t)&context->uc_mcontext.gregs[REG_RIP], &next.pc))
		return false;
	*frame = next;
	return true;
}

/* From a frame to its caller's. False: there is none, or it cannot be told. */
static bool step(struct window *window, const struct sksm_cfi_rule *rule,
		 struct sksm_frame *frame)
{
	uint64_t base = rule->cfa == SKSM_CFA_SP ? frame->sp : frame->bp, cfa;
	struct sksm_frame next = { .bp = frame->bp };

	cfa = base + (uint64_t)(int64_t)rule->cfa_offset;
	if (rule->cfa == SKSM_CFA_NONE || (rule->cfa == SKSM_CFA_AT_BP && !load(window, cfa, &cfa)))
		return false;
	/* The stack grows down: a caller's frame lies above. */
	if (cfa <= frame->sp || cfa - frame->sp > FRAME_MAX_BYTES ||
	    !load(window, cfa - 8, &next.pc))
		return false;
	if (rule->bp == SKSM_BP_AT_CFA || rule->bp == SKSM_BP_AT_BP) {
		base = rule->bp == SKSM_BP_AT_CFA ? cfa : frame->bp;
		if (!load(window, base + (uint64_t)(int64_t)rule->bp_offset, &next.bp))
			return false;
	} else if (rule->bp == SKSM_BP_LOST) {
		next.bp = 0;
	}
	next.sp = cfa;
	*frame = next;
	return true;
}

unsigned int sksm_unwind(const struct sksm_unwinder *unwinder, struct sksm_frame frame,
			 uint64_t *ret, unsigned int max, uint64_t *ret_hash)
{
	/* The return address is still there, below @frame.sp. */
	struct window window = { (frame.sp - 8) & -SKSM_PAGE_BYTES,
				 ((frame.sp - 8) & -SKSM_PAGE_BYTES) + SKSM_PAGE_BYTES };
	unsigned int count = 0;
	uint64_t hash = 0, within = 1;

	while (count < max && frame.pc > within) {
		uint64_t pc = frame.pc - within;
		struct dl_find_object object;
		struct sksm_cfi_rule rule;

		if (unwinder->find_object((void *)pc, &object))
			break;
		if (ret)
			ret[count] = pc;
		count++;
		hash = mix(hash ^ pc ^ mix((uintptr_t)object.dlfo_eh_frame));
		if (count == max)
			break;
		get_rule(unwinder->cache, &object, pc, &rule);
		within = rule.cfa != SKSM_CFA_SIGNAL;
		if (!(within ? step(&window, &rule, &frame) : step_signal(&window, &frame)))
			break;
	}
	*ret_hash = hash;
	return count;
}

#else

unsigned int sksm_unwind(const struct sksm_unwinder *unwinder, struct sksm_frame frame,
			 uint64_t *ret, unsigned int max, uint64_t *ret_hash)
{
	if (!max || !frame.pc)
		return 0;
	if (ret)
		ret[0] = frame.pc - 1;
	*ret_hash = mix(frame.pc - 1);
	return 1;
}

#endif
