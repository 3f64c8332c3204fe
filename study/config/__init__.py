"""A study's configuration: presets, settings, checks."""
