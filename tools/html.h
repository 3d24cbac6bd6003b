/* SPDX-License-Identifier: MIT */
/* sksm-report --html: one page that holds everything, and opens without a network. */
#ifndef SKSM_HTML_H
#define SKSM_HTML_H

#include "census.h"
#include "host.h"

/*
 * Replace the file @path (mode 0644, at once: a reader sees the old or the new one), or write to
 * stdout where it is "-". @census has read its call sites (query.sites). 0 or -errno.
 */
int sksm_html(const struct sksm_census *census, const struct sksm_host *host, const char *path);

#endif
