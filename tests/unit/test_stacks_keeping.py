"""What a program lets go of is kept: it is a child of the one that keeps it, and of nobody else, for as long as that lives."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from aftershock.stacks import keeping

LETS_GO = """
import os, signal, sys, time
if os.fork() == 0:
    if os.fork() == 0:
        os.setsid()
        signal.pause()
    os._exit(0)
os.wait()
children = f"/proc/{os.getppid()}/task/{os.getppid()}/children"
print(len(open(children).read().split()), flush=True)
sys.stdin.readline()
sys.exit(7)
"""


def kept(text: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-I", "-S", Path(keeping.__file__), sys.executable, "-c", text]
    return subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_what_it_lets_go_of_stays_a_child_and_its_exit_code_is_told() -> None:
    with kept(LETS_GO) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "2\n", "the program, and what that has let go of"
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        print("end", file=process.stdin, flush=True)
        assert process.wait() == 7
    os.kill(int(children[-1]), signal.SIGKILL)


def test_signals_are_handed_on() -> None:
    text = "import signal, sys; signal.signal(15, lambda *_: sys.exit(3)); print('ready', flush=True); signal.pause()"
    with kept(text) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.wait() == 3


def test_a_program_that_is_killed_is_told_as_a_shell_does() -> None:
    with kept("import os; os.kill(os.getpid(), 9)") as process:
        assert process.wait() == 137
