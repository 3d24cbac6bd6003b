/* SPDX-License-Identifier: MIT */
/* The environment: variables as lines of the input. Whatever it says, the result is usable. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tracker/options.h"

#define VARIABLES 32

static void complain(const char *name, const char *value, const char *expected, void *arg)
{
	if (!*name || !*expected || !value)
		abort();
	++*(unsigned int *)arg;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *envp[VARIABLES + 1] = { 0 }, *text = malloc(size + 1), *rest = text;
	struct sksm_options options;
	unsigned int complaints = 0;

	memcpy(text, data, size);
	text[size] = '\0';
	for (int i = 0; i < VARIABLES && rest; i++)
		envp[i] = strsep(&rest, "\n");
	sksm_options_parse(&options, envp, complain, &complaints);
	if (complaints > VARIABLES || options.cpu_percent < 1 || options.cpu_percent > 100 ||
	    !options.interval_ms || !options.threshold_bytes ||
	    !sksm_options_domain_valid(options.domain) ||
	    memchr(options.dir, '\0', sizeof(options.dir)) == NULL)
		abort();
	sksm_engine_name(options.engine);
	sksm_tracker_name(options.tracker);
	sksm_mode_name(options.mode);
	free(text);
	return 0;
}
