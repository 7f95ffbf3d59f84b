"""Owns Docker's socket and hands each request to swarmd or to the engine, as a stream.

A process of its own that is rarely restarted, because its restart cuts ``logs -f``, attach and builds. It imports
nothing but the standard library, so that it stays at about 25 MB. Not uvloop either: with the loop's plain socket calls
it saved 0.01 ms of 0.19 ms per request, and nothing on 500 MB.
"""
