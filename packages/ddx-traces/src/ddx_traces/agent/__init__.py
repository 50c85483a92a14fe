"""The trace agent: what tracers send, decoded. Its routes are for a pipeline to serve; the decoders are of use alone."""

from .body import decode_body
from .decode_v04 import decode_v04
from .decode_v05 import decode_v05
from .headers import read_tracer_payload
from .routes import TraceRoutes

__all__ = ["TraceRoutes", "decode_body", "decode_v04", "decode_v05", "read_tracer_payload"]
