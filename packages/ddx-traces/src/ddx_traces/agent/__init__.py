"""The trace agent: what tracers send, decoded. Its `routes` are the pipeline's to serve, and not on this face: they bring an
HTTP server along, which whoever decodes alone can do without.
"""

from .body import decode_body
from .decode_v04 import decode_v04
from .decode_v05 import decode_v05
from .headers import read_tracer_payload

__all__ = ["decode_body", "decode_v04", "decode_v05", "read_tracer_payload"]
