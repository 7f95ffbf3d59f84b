"""What all tests need."""

import signal

# A shell's background job ignores SIGINT, and all that it starts inherits that: tests of Ctrl-C need it to arrive.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption(
        "--rewrite", action="store_true", help="write what the scenarios of tests/scenarios now say into their files"
    )
