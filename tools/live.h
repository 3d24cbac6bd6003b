/* SPDX-License-Identifier: MIT */
/* sksm-report --live: the table of what runs, again and again. */
#ifndef SKSM_LIVE_H
#define SKSM_LIVE_H

#include "report_arguments.h"

#include "tracker/options.h"

/*
 * On a terminal until 'q' is pressed or it is gone; elsewhere for ever, or until nobody reads it,
 * which ends the process by SIGPIPE at once. The exit status.
 */
int sksm_live(const struct sksm_report_arguments *arguments, const struct sksm_options *options);

#endif
