# SPDX-License-Identifier: MIT
"""What a row of make bench yields.

    Figures(work, {contestant: [results of the rounds]})   medians are shown, all rounds go to the JSON lines
    Check(what, value, '>=' or '<=', target)                  value None: could not be measured here
    Ratio(what, value, reference)                              no target; reference: what it was, or follows from, where the targets were set; or None
    Note(text)
"""
import collections

from lab import ratio

Figures = collections.namedtuple('Figures', 'work results')
Check = collections.namedtuple('Check', 'what value sense target')
Ratio = collections.namedtuple('Ratio', 'what value reference')
Note = collections.namedtuple('Note', 'text')

OURS = 'milestonefs'
FLOOR = 'floor: RAM file system'
FLOOR_LOG = 'floor: RAM file system with a log'


def at_least(what, value, target):
    return Check(what, value, '>=', target)


def at_most(what, value, target):
    return Check(what, value, '<=', target)


def against(results, peer, key='per_s', ours=OURS):
    return ratio(results.get(ours, []), results.get(peer, []), key)


def beside_floor(results, floor, peer, reference=None, target=None):
    """Of our ratio to @peer, whose @target is given, the part that is the price of FUSE, and ours. @reference: the floor's where the targets were set."""
    yield Ratio(f'floor: rate / {peer.split()[0]}', against(results, peer, ours=floor), reference)
    yield Ratio('rate / floor', against(results, floor), target / reference if target and reference else None)
