"""Settings: the only place that reads them."""

from .complaint import Complaint
from .load import Loaded, load_config
from .schema import Config

__all__ = ["Complaint", "Config", "Loaded", "load_config"]
