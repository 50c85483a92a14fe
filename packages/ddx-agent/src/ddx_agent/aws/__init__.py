"""AWS as far as secrets need it: credentials, signatures, Secrets Manager, Systems Manager, KMS, and delegated keys."""

from .delegated import delegated_key
from .errors import AwsError
from .key_text import api_key_in
from .proxies import shared_proxies
from .services import Aws
from .transport import HttpClient

__all__ = ["Aws", "AwsError", "HttpClient", "api_key_in", "delegated_key", "shared_proxies"]
