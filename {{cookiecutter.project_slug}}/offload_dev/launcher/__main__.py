"""`python -m offload_dev.launcher dev` or `serve`: starts a service (`service.py`)."""

import signal
import sys

if __name__ == "__main__":
    # Until the manager runs, Ctrl-C ends the launcher at once. With Python's own handler it would
    # print a traceback, and the imports below take the longest.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

    from offload_dev.launcher.service import main

    sys.exit(main())
