/* SPDX-License-Identifier: MIT */
/*
 * The terminal as one page that is drawn anew again and again, with keys. It is put back however
 * the process ends, but for SIGKILL. There is one; the process has one thread.
 */
#ifndef SKSM_SCREEN_H
#define SKSM_SCREEN_H

#include <stdbool.h>

/* True where standard output is a terminal that can place text (ECMA-48; TERM tells). */
bool sksm_screen_usable(void);

/*
 * Take the terminal: another page than that with the user's lines, no cursor, keys from standard
 * input one by one and not shown, where that is a terminal too; nothing from standard error. From
 * now on SIGHUP, SIGINT, SIGQUIT, SIGTERM and faults put it back before they end the process,
 * SIGTSTP before it stops; and exit does. 0 or -errno.
 */
int sksm_screen_enter(void);

/* Put it back. Async-signal-safe; nothing where it was not taken. */
void sksm_screen_leave(void);

/* As of now. */
void sksm_screen_size(unsigned int *ret_rows, unsigned int *ret_columns);

/*
 * Show @text, lines of UTF-8 that may hold colours, from the top; what goes beyond the right or the
 * lower edge is cut off. False: nobody is there to see it.
 */
bool sksm_screen_draw(const char *text);

/* What the longest line of @text takes, in columns. */
unsigned int sksm_screen_width(const char *text);

enum {
	SKSM_KEY_NONE = 256,	/* the time is up */
	SKSM_KEY_RESIZE,	/* the window has another size, or was away */
	SKSM_KEY_END,		/* there is no terminal any more */
	SKSM_KEY_LEFT,
	SKSM_KEY_RIGHT,
};

/* Wait @ms for a key: a byte, or one of the above. */
int sksm_screen_key(unsigned int ms);

#endif
