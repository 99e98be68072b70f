# SPDX-License-Identifier: MIT
"""What a row of make bench yields.

    Figures(work, {contestant: [results of the rounds]})   medians are shown, all rounds go to the JSON lines
    Check(what, value, '>=' or '<=', target)                  value None: could not be measured here
    Note(text)
"""
import collections

from lab import ratio

Figures = collections.namedtuple('Figures', 'work results')
Check = collections.namedtuple('Check', 'what value sense target')
Note = collections.namedtuple('Note', 'text')

OURS = 'milestonefs'


def at_least(what, value, target):
    return Check(what, value, '>=', target)


def at_most(what, value, target):
    return Check(what, value, '<=', target)


def against(results, peer, key='per_s', ours=OURS):
    return ratio(results.get(ours, []), results.get(peer, []), key)
