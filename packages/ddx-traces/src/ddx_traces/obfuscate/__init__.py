"""Obfuscation: what a span tells of values that are the user's own is hidden before it leaves. Pure.

Each grammar is a module of its own, imported when a span of its kind comes or when a setting asks for it.
"""

from .obfuscator import Obfuscator
from .settings import JsonBodies, ObfuscationSettings

__all__ = ["JsonBodies", "ObfuscationSettings", "Obfuscator"]
