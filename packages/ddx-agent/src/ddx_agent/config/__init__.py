"""Settings: the only place that reads them."""

from .complaint import Complaint
from .load import Loaded, load_config
from .other_names import secret_suffixes
from .schema import Config, known_variables

__all__ = ["Complaint", "Config", "Loaded", "known_variables", "load_config", "secret_suffixes"]
