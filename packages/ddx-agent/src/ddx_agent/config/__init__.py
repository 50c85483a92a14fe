"""Settings: the only place that reads them."""

from .load import Loaded, load_config
from .parse import Complaint
from .schema import Config

__all__ = ["Complaint", "Config", "Loaded", "load_config"]
