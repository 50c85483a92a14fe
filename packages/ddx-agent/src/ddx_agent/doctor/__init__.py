"""`ddx doctor`: what usually goes wrong with an agent in a function, found out and told with what to do about it.

Rule: gathering facts (`ask`, `examine`, `reach`, the `look_at_...` functions) and judging them (all else) are apart, so
that every judgement can be read and tested without a network.
"""
