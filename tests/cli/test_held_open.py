"""`fairway ui --on TARGET` holds a way open until it is told to end, whichever of its threads is told."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.signals import signal_another_thread

HOLDS = """
import signal, threading
from fairway.cli.remoteui import _wait_for_interrupt

def say():
    while signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        pass
    print("holds", flush=True)
    threading.Event().wait()

threading.Thread(target=say, daemon=True).start()
_wait_for_interrupt()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_another_thread_gets_ends_it(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDS], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "holds\n"
        signal_another_thread(process.pid, number)
        assert process.wait(180) == 0
