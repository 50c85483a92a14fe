"""Users' regular expressions, in time linear in the text (RE2). Pure; imported only where there is such an expression."""

from .matcher import Matcher

__all__ = ["Matcher"]
