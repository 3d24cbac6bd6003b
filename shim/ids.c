/* SPDX-License-Identifier: MIT */
#include "thread.h"

#include <string.h>

static bool parse_line(const char *status, const char *name, unsigned int ret[3])
{
	const char *p = strstr(status, name);

	if (!p)
		return false;
	p += strlen(name);
	for (int i = 0; i < 3; i++) {
		while (*p == '\t' || *p == ' ')
			p++;
		if (*p < '0' || *p > '9')
			return false;
		for (ret[i] = 0; *p >= '0' && *p <= '9'; p++)
			ret[i] = ret[i] * 10 + (unsigned int)(*p - '0');
	}
	return true;
}

bool shim_parse_ids(const char *status, struct sksm_ids *ret)
{
	return parse_line(status, "\nUid:", ret->uid) && parse_line(status, "\nGid:", ret->gid);
}
