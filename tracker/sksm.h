/* SPDX-License-Identifier: MIT */
/*
 * libsksm: samepage merging for a program that links it instead of being preloaded: a virtual
 * machine monitor, a database, an interpreter that knows which memory is worth it.
 *
 *	const char *reason;
 *	struct sksm *sksm;
 *
 *	if (sksm_start(&sksm, (const char *[]){ "AGE_MS=500", NULL }, &reason))
 *		errx(1, "sksm: %s", reason);
 *	sksm_add(sksm, ram, ram_bytes);
 *	...
 *	sksm_stop(sksm);
 *
 * A thread of the library looks after the ranges that were added: which pages stay unwritten, which
 * of them have a twin in the same domain (in this process or another, preloaded ones too), and has
 * the kernel merge those (docs/architecture.md). What the kernel can do decides how; where it can
 * do nothing, sksm_start says why.
 *
 * Threads: every function may be called from any thread, at any time; they take one mutex and wait
 * for at most a step of a pass. Signals: none is async-signal-safe; the library's thread has all
 * signals blocked and uses no descriptor of the program. fork: a child has no thread of the
 * library; there every function but sksm_stop answers -ECHILD. exec and exit need no preparation.
 * Errors are negative errno values.
 */
#ifndef SKSM_H
#define SKSM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SKSM_API __attribute__((visibility("default")))

struct sksm;

/*
 * Begin, with nothing to watch. @settings is a list of NAME=VALUE, NULL at the end (or NULL for no
 * settings): the variables of docs/options.md with or without SKSM_ in front; the environment is
 * not read. 0 and *ret; or -EINVAL (a setting), -EOPNOTSUPP (the kernel cannot), -EACCES (the
 * domain's directory cannot be used), -EAGAIN, -ENOMEM; and then in *ret_reason (may be NULL) why,
 * a static string.
 */
SKSM_API int sksm_start(struct sksm **ret, const char *const *settings, const char **ret_reason);

/*
 * End, and free @sksm (NULL: nothing). What is merged stays so; what is written is its writer's
 * alone again. Waits for the thread (milliseconds, one step of a pass) and for whoever waits in
 * sksm_merge_now, which returns; nothing else may be called meanwhile, or afterwards.
 */
SKSM_API void sksm_stop(struct sksm *sksm);

/*
 * Watch [@start, @start + @bytes), cut to whole pages; ranges may overlap and be of any size. What
 * is not mapped there, shared, or sensitive (mlock, MADV_DONTDUMP, MADV_WIPEONFORK) is left out for
 * as long as it is. 0, -EINVAL where no page lies in it, -ENOMEM, -ECHILD.
 */
SKSM_API int sksm_add(struct sksm *sksm, const void *start, size_t bytes);

/* Watch it no more. Before memory is unmapped this is not necessary. As sksm_add. */
SKSM_API int sksm_remove(struct sksm *sksm, const void *start, size_t bytes);

/*
 * Change one setting (NAME=VALUE as for sksm_start): what is known is forgotten and learnt anew;
 * what is merged stays. DIR and DOMAIN stay as they were. 0, -EINVAL, -ECHILD.
 */
SKSM_API int sksm_set(struct sksm *sksm, const char *setting);

/*
 * Do not wait for pages to get old: look at all of them now, and merge what has a twin. For a
 * moment at which the program knows that its memory is calm. Returns when nothing is left to do, or
 * after @timeout_ms: 0, -ETIMEDOUT, -ECHILD. With the engine "ksm" somebody has to run ksmd. What
 * the kernel did not merge in its time is left at last: 0 is returned and `refused` of the
 * statistics counts it.
 */
SKSM_API int sksm_merge_now(struct sksm *sksm, unsigned int timeout_ms);

/* As of the last pass; bytes unless the name has another unit. docs/options.md tells more. */
struct sksm_stats {
	uint64_t passes;
	uint64_t tracked;	/* added, mapped and private */
	uint64_t resident;
	uint64_t invariant;	/* unwritten for the age */
	uint64_t duplicate;	/* has a twin in the domain */
	uint64_t merged;	/* mapped to a merged frame */
	uint64_t zero;		/* of those, the zero page */
	uint64_t saved;		/* frames freed */
	uint64_t cow_breaks;	/* merges undone by a write */
	uint64_t writes_seen;	/* faults that were caused by watching */
	uint64_t cpu_ns;	/* of the library's thread */
	uint64_t refused;	/* of duplicate: offered, and not merged by the kernel in its time */
	uint64_t reserved[20];	/* 0 */
};

/* 0 or -ECHILD. */
SKSM_API int sksm_get_stats(struct sksm *sksm, struct sksm_stats *ret);

/* "sksm", "ksm" or "none": what merges; "wp" or "digest": how writes are seen. Static strings. */
SKSM_API const char *sksm_get_engine(const struct sksm *sksm);
SKSM_API const char *sksm_get_tracker(const struct sksm *sksm);

#ifdef __cplusplus
}
#endif
#endif
