/* SPDX-License-Identifier: MIT */
/* The tests of content.c where comparing digests is all there is. */
#define RIG_TRACKER "digest"

#include "content.c"
