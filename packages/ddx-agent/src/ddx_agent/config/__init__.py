"""Settings: the only place that reads them."""

from .complaint import Complaint
from .load import Loaded, load_config
from .other_names import judge_keys, judge_names, secret_suffixes
from .schema import Config, known_paths, known_variables

__all__ = [
    "Complaint",
    "Config",
    "Loaded",
    "judge_keys",
    "judge_names",
    "known_paths",
    "known_variables",
    "load_config",
    "secret_suffixes",
]
