"""Plays a terminal for a program. The first argument is JSON: argv, and steps of {expect, send, resize, settings, kill, pause}.

Each step waits for `expect` (a regular expression over what was shown since the step before), then does the rest. What was shown is
printed at the end, then `settings: same` or `settings: changed` for the terminal's own, then `code: N`.
"""
import fcntl, json, os, pty, re, select, signal, struct, sys, termios, time

asked = json.loads(sys.argv[1])
master, slave = pty.openpty()
fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 33, 99, 0, 0))
before = termios.tcgetattr(slave)
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in range(3):
        os.dup2(slave, fd)
    os.closerange(3, 100)
    os.execvp(asked['argv'][0], asked['argv'])
shown = ''
unseen = ''


def read(until, patience):
    global shown, unseen
    end = time.time() + patience
    while time.time() < end:
        if until is not None:
            found = re.search(until, unseen)
            if found:
                unseen = unseen[found.end():]
                return True
        ready, _, _ = select.select([master], [], [], 0.05)
        if ready:
            try:
                text = os.read(master, 65536).decode('utf8', 'replace')
            except OSError:
                return False
            shown += text
            unseen += text
        elif until is None and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return True
    return False


for step in asked['steps']:
    if 'expect' in step and not read(step['expect'], 15):
        print('never shown:', step['expect'])
        break
    if 'pause' in step:
        time.sleep(step['pause'])
    if 'resize' in step:
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack('HHHH', *step['resize'], 0, 0))
    if 'send' in step:
        os.write(master, step['send'].encode())
read(None, 10)
os.kill(pid, signal.SIGKILL) if not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) else None
_, status = os.waitpid(pid, 0)
print(shown)
print('settings:', 'same' if termios.tcgetattr(slave) == before else 'changed')
print('code:', os.waitstatus_to_exitcode(status))
