"""What holds for every layer: the programs that tests start hear signals, also where the tests run in the background.

A shell starts what runs in its background with SIGINT ignored, and nohup with SIGHUP; both would be inherited, and mean there
what they mean to a user: go on.
"""

import signal

for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)
