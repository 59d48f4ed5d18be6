"""What holds for every layer: the programs that tests start hear signals, also where the tests run in the background.

A shell starts what runs in its background with SIGINT ignored, and nohup with SIGHUP; both would be inherited, and mean there
what they mean to a user: go on. A signal that has a handler here is at its default in what is started from here; the handler
of SIGHUP does nothing, so that tests under nohup go on when their terminal closes.
"""

import signal

for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, lambda *_: None)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)
