"""What all tests need."""

import signal

# A shell's background job ignores SIGINT, and all that it starts inherits that: tests of Ctrl-C need it to arrive.
signal.signal(signal.SIGINT, signal.default_int_handler)
