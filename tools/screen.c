/* SPDX-License-Identifier: MIT */
#include "screen.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

/* The page that has no lines above it, and no cursor; and back. */
#define TAKE "\033[?1049h\033[?25l"
#define GIVE "\033[?25h\033[?1049l"
#define ESCAPE '\033'

static const int ends[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGSEGV, SIGBUS, SIGILL, SIGFPE,
			    SIGABRT };

static struct {
	volatile sig_atomic_t taken;
	bool keys;			/* standard input is a terminal */
	struct termios before;
	int errors;			/* where standard error went; -1: no terminal, left alone */
} screen = { .errors = -1 };

static volatile sig_atomic_t resized;

bool sksm_screen_usable(void)
{
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && term && *term && strcmp(term, "dumb");
}

static void say(const char *text)
{
	size_t length = strlen(text);

	while (length) {
		ssize_t n = write(STDOUT_FILENO, text, length);

		if (n < 0)
			return;
		text += n;
		length -= (size_t)n;
	}
}

static void take(void)
{
	struct termios raw = screen.before;
	int null;

	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	screen.taken = 1;
	if (screen.keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	null = screen.errors >= 0 ? open("/dev/null", O_WRONLY | O_CLOEXEC) : -1;
	if (null >= 0) {
		dup2(null, STDERR_FILENO);
		close(null);
	}
	say(TAKE);
}

void sksm_screen_leave(void)
{
	int saved = errno;

	if (!screen.taken)
		return;
	screen.taken = 0;
	/* After a ^S nothing would get there. */
	tcflow(STDOUT_FILENO, TCOON);
	say(GIVE);
	if (screen.keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &screen.before);
	if (screen.errors >= 0)
		dup2(screen.errors, STDERR_FILENO);
	errno = saved;
}

static void on_end(int number)
{
	sksm_screen_leave();
	/* The action is the usual one again. */
	raise(number);
}

static void on_resize(int number)
{
	resized = 1;
}

static void on_stop(int number)
{
	const struct sigaction usual = { .sa_handler = SIG_DFL };
	struct sigaction ours;
	int saved = errno;
	sigset_t set;

	sksm_screen_leave();
	sigaction(SIGTSTP, &usual, &ours);
	sigemptyset(&set);
	sigaddset(&set, SIGTSTP);
	raise(SIGTSTP);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	/* Here the user went on with something else. */
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigaction(SIGTSTP, &ours, NULL);
	if (screen.keys)
		tcgetattr(STDIN_FILENO, &screen.before);
	take();
	resized = 1;
	errno = saved;
}

/* What nohup and the like ignore stays ignored. */
static void handle(int number, void (*handler)(int), int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags }, before;

	sigfillset(&action.sa_mask);
	if (!sigaction(number, NULL, &before) && before.sa_handler != SIG_IGN)
		sigaction(number, &action, NULL);
}

int sksm_screen_enter(void)
{
	screen.keys = isatty(STDIN_FILENO);
	if (screen.keys && tcgetattr(STDIN_FILENO, &screen.before))
		return -errno;
	if (screen.errors < 0 && isatty(STDERR_FILENO)) {
		screen.errors = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
		if (screen.errors < 0)
			return -errno;
	}
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		handle(ends[i], on_end, (int)SA_RESETHAND);
	handle(SIGTSTP, on_stop, SA_RESTART);
	handle(SIGWINCH, on_resize, SA_RESTART);
	handle(SIGCONT, on_resize, SA_RESTART);
	atexit(sksm_screen_leave);
	take();
	return 0;
}

static unsigned int number_in(const char *name, unsigned int otherwise)
{
	const char *text = getenv(name);
	unsigned long number = text ? strtoul(text, NULL, 10) : 0;

	return number > 0 && number < 10000 ? (unsigned int)number : otherwise;
}

void sksm_screen_size(unsigned int *ret_rows, unsigned int *ret_columns)
{
	struct winsize size = { 0 };

	ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	*ret_rows = size.ws_row ? size.ws_row : number_in("LINES", 24);
	*ret_columns = size.ws_col ? size.ws_col : number_in("COLUMNS", 80);
}

/*
 * The bytes of the character at @text, which is not the end of its line, and its columns: none for
 * a colour.
 */
static size_t measure(const char *text, unsigned int *ret_columns)
{
	mbstate_t state = { 0 };
	wchar_t wide;
	size_t bytes;
	int columns;

	*ret_columns = 0;
	if (*text == ESCAPE) {
		bytes = strcspn(text, "m\n");
		return bytes + (text[bytes] == 'm');
	}
	bytes = mbrtowc(&wide, text, strlen(text), &state);
	if (bytes == (size_t)-1 || bytes == (size_t)-2) {
		*ret_columns = 1;
		return 1;
	}
	columns = wcwidth(wide);
	*ret_columns = columns > 0 ? (unsigned int)columns : 0;
	return bytes;
}

unsigned int sksm_screen_width(const char *text)
{
	unsigned int most = 0, used = 0, columns;

	while (*text) {
		if (*text == '\n') {
			used = 0;
			text++;
			continue;
		}
		text += measure(text, &columns);
		used += columns;
		most = used > most ? used : most;
	}
	return most;
}

/* Put one line as far as there is room; where the next one begins. */
static const char *put_line(const char *text, unsigned int room)
{
	unsigned int used = 0, columns;

	while (*text && *text != '\n') {
		size_t bytes = measure(text, &columns);

		if (used + columns <= room)
			fwrite(text, 1, bytes, stdout);
		used += columns;
		text += bytes;
	}
	return *text ? text + 1 : text;
}

bool sksm_screen_draw(const char *text)
{
	unsigned int rows, columns, row;

	sksm_screen_size(&rows, &columns);
	fputs("\033[H", stdout);
	for (row = 0; row < rows && *text; row++) {
		fputs(row ? "\n\033[K" : "\033[K", stdout);
		text = put_line(text, columns);
	}
	if (row < rows)
		fputs("\n\033[J", stdout);
	return !fflush(stdout);
}

/* Keys that are more than a byte come at once. */
static int decode(const char *bytes, ssize_t length)
{
	if (length < 1)
		return SKSM_KEY_END;
	if (*bytes != ESCAPE)
		return (unsigned char)*bytes;
	if (length == 3 && (bytes[1] == '[' || bytes[1] == 'O') && bytes[2] == 'C')
		return SKSM_KEY_RIGHT;
	if (length == 3 && (bytes[1] == '[' || bytes[1] == 'O') && bytes[2] == 'D')
		return SKSM_KEY_LEFT;
	return ESCAPE;
}

int sksm_screen_key(unsigned int ms)
{
	const struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000l };
	struct pollfd input = { .fd = screen.keys ? STDIN_FILENO : -1, .events = POLLIN };
	int ready = -1, error = EINTR;
	sigset_t blocked, before;
	char bytes[16];

	/* A signal after the look at resized must end the wait. */
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGWINCH);
	sigaddset(&blocked, SIGCONT);
	sigaddset(&blocked, SIGTSTP);
	sigprocmask(SIG_BLOCK, &blocked, &before);
	if (!resized) {
		ready = ppoll(&input, 1, &time, &before);
		error = errno;
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (resized) {
		resized = 0;
		return SKSM_KEY_RESIZE;
	}
	if (!ready)
		return SKSM_KEY_NONE;
	if (ready < 0)
		return error == EINTR ? SKSM_KEY_RESIZE : SKSM_KEY_END;
	return input.revents & POLLIN ? decode(bytes, read(STDIN_FILENO, bytes, sizeof(bytes))) :
	       SKSM_KEY_END;
}
