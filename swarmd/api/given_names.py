"""Names for services whose users gave none: an adjective and an inventor, as Docker does it."""

from __future__ import annotations

import secrets

_ADJECTIVES = (
    "able agile amber ample apt brave brisk calm candid clever cosy daring deft eager earnest fair fleet frank gentle "
    "glad happy hardy honest jolly keen kind lively loyal lucid mellow merry neat nimble noble patient placid plucky "
    "polite proud quick quiet ready serene sharp sincere sleek smart snug spry steady sunny sure swift tidy upbeat "
    "vivid warm wise witty zealous"
)
_PEOPLE = (
    "ampere archimedes babbage bell benz bohr boole braille curie daguerre davinci diesel dijkstra edison einstein "
    "euler faraday fermat fermi fourier franklin galileo gauss goodall gutenberg hamilton hertz hopper hypatia kepler "
    "knuth lamport lavoisier leibniz liskov lovelace marconi maxwell meitner mendel morse newton noether nobel ohm "
    "pascal pasteur planck ramanujan shannon tesla torvalds turing volta watt wright zuse"
)


def given_name() -> str:
    """One of some 3,000; that it is taken already is for the store to find."""
    return f"{secrets.choice(_ADJECTIVES.split())}_{secrets.choice(_PEOPLE.split())}"
