# SPDX-License-Identifier: MIT
"""terminal.py PROGRAM [ARG...]: drive a program that has the terminal to itself, on a terminal of
60 columns and 10 lines, and say what it does with it, one finding a line. PROGRAM is sksm-report
with processes to show."""
import fcntl, os, re, select, signal, struct, sys, termios, time

ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"
LIMIT = 30


class Terminal:
    def __init__(self, command, term="xterm", shell=False):
        self.seen = b""
        # Kept open, so that it can be looked at when the program has ended.
        self.fd, terminal = os.openpty()
        self.before = termios.tcgetattr(terminal)
        self.resize(10, 60)
        self.pid = os.fork()
        if not self.pid:
            os.close(self.fd)
            os.login_tty(terminal)
            os.environ["TERM"] = term
            # What the parent of the shell ignores would be ignored here as well.
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            if shell:
                run_as_shell(command)
            os.execv(command[0], command)

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def wait_for(self, pattern, what):
        """Read until pattern is there, and forget what came before."""
        end = time.monotonic() + LIMIT
        while not re.search(pattern, self.seen, re.DOTALL):
            if time.monotonic() > end:
                sys.exit(f"waited in vain for {what}: {self.seen[-600:]!r}")
            self.read(0.1)
        return self

    def send(self, keys):
        self.seen = b""
        os.write(self.fd, keys)
        return self

    def end(self, how):
        """Do what ends it; its wait status, and all it still said."""
        how()
        end, status = time.monotonic() + LIMIT, None
        while status is None:
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
                sys.exit("it does not end")
            self.read(0.05)
            pid, ended = os.waitpid(self.pid, os.WNOHANG)
            status = ended if pid else None
        while self.read(0):
            pass
        return status, self.seen

    def read(self, seconds):
        """False: there is nothing more for now."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return False
        self.seen += os.read(self.fd, 65536)
        return True

    def is_raw(self):
        flags = termios.tcgetattr(self.fd)[3]
        return not flags & termios.ICANON and not flags & termios.ECHO


def run_as_shell(command):
    """Job control as a shell does it: go on after a stop, then end as the command did."""
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpid())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        os.execv(command[0], command)
    while True:
        status = os.waitpid(child, os.WUNTRACED)[1]
        if not os.WIFSTOPPED(status):
            os._exit(os.waitstatus_to_exitcode(status) & 127)
        os.tcsetpgrp(0, os.getpgrp())
        cooked = bool(termios.tcgetattr(0)[3] & termios.ICANON)
        os.write(1, b"stopped, cooked: %r\n" % cooked)
        os.tcsetpgrp(0, child)
        os.kill(child, signal.SIGCONT)


def started(command):
    """With keys alone that can make it look again."""
    return Terminal(command + ["--live=86400"]).wait_for(re.escape(ENTER) + b".*hold", "the table")


def is_put_back(terminal, rest):
    return LEAVE in rest and rest.rindex(LEAVE) > rest.rfind(b"hold") and \
        termios.tcgetattr(terminal.fd) == terminal.before


def say(what, holds):
    print(what if holds else f"NOT: {what}")


def text_lines(screen):
    """The lines of the last page drawn, without colours."""
    page = screen[screen.rindex(b"\x1b[H"):] if b"\x1b[H" in screen else b""
    return [line.rstrip() for line in
            re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", page.decode()).replace("\r", "").split("\n")]


def keys(command):
    terminal = started(command)
    say("keys come one by one", terminal.is_raw())
    say("it is sorted by SAVED at first", b"by SAVED down" in terminal.seen)
    lines = text_lines(terminal.seen)
    say("it fits the window", len(lines) <= 10 and max(map(len, lines)) <= 60)
    terminal.send(b"<").wait_for(rb"by MERGED down.*\x1b\[7mMERGED.*hold", "another column")
    terminal.send(b"\x1b[C").wait_for(rb"by SAVED down.*hold", "the first column again")
    terminal.send(b"r").wait_for(rb"by SAVED up.*hold", "the other order")
    terminal.send(b" ").wait_for(rb"by SAVED up.*hold", "another look")
    say("keys change the order", True)
    terminal.seen = b""
    terminal.resize(6, 30)
    terminal.wait_for(rb"and \d+ more", "what does not fit")
    lines = text_lines(terminal.seen)
    say("it follows the window", len(lines) <= 6 and max(map(len, lines)) <= 30)
    status, rest = terminal.end(lambda: terminal.send(b"q"))
    say("q ends it with 0", status == 0)
    say("q puts the terminal back", is_put_back(terminal, rest))


def signals(command):
    for number in ("HUP", "INT", "QUIT", "TERM", "SEGV", "ABRT"):
        number = getattr(signal, "SIG" + number)
        terminal = started(command)
        status, rest = terminal.end(lambda: os.kill(terminal.pid, number))
        say(f"{number.name} ends it", os.WIFSIGNALED(status) and os.WTERMSIG(status) == number)
        say(f"{number.name} puts the terminal back", is_put_back(terminal, rest))


def stop(command):
    terminal = Terminal(command + ["--live=86400"], shell=True)
    terminal.wait_for(re.escape(ENTER) + b".*hold", "the table")
    terminal.send(b"\x1a").wait_for(b"stopped, cooked: True", "the stop")
    terminal.wait_for(b"cooked: True.*" + re.escape(ENTER) + b".*hold", "the table again")
    say("it stops with the terminal put back, and goes on", terminal.is_raw())
    say("and ends with 0", terminal.end(lambda: terminal.send(b"q"))[0] == 0)


def dumb(command):
    terminal = Terminal(command + ["--live=0.2"], term="dumb")
    terminal.wait_for(b"hold.*hold.*hold.*\r\n\r\n.*hold", "tables")
    say("a dumb terminal gets plain text", b"\x1b" not in terminal.seen)
    terminal.end(lambda: os.kill(terminal.pid, signal.SIGTERM))


for part in (keys, signals, stop, dumb):
    part(sys.argv[1:])
