"""DogStatsD without I/O: what turns datagrams into samples. Nothing here needs an event loop; receivers are in `.server`."""

from .ingest import Ingest

__all__ = ["Ingest"]
