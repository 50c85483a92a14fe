"""DogStatsD: the receivers and what turns their datagrams into samples."""

from .ingest import Ingest
from .namespace import Namespace, valid_namespace
from .server import DatagramReceiver, bind_dogstatsd

__all__ = ["DatagramReceiver", "Ingest", "Namespace", "bind_dogstatsd", "valid_namespace"]
