"""The settings by section, one file each: this is what docs/configuration.md and `ddx config` are made of."""
