"""For clients that tests use with plain http alone."""

from __future__ import annotations

import ssl


def no_authorities() -> ssl.SSLContext:
    """To read the certificates of all authorities takes longer than most tests, and plain http has no use for them."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
