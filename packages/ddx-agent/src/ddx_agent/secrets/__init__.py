"""Settings that come from AWS: the API key, kept fresh, and any variable that is given as a secret's name or a ciphertext.

Imported by those alone who have such settings.
"""

from .aws_of import AwsOf
from .resolved_key import KeySource, ResolvedKey
from .sources import key_of, key_sources
from .variables import Resolved, SecretVariable, find_secret_variables, guard, resolve_variables

__all__ = [
    "AwsOf",
    "KeySource",
    "Resolved",
    "ResolvedKey",
    "SecretVariable",
    "find_secret_variables",
    "guard",
    "key_of",
    "key_sources",
    "resolve_variables",
]
