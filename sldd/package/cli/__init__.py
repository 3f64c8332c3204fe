"""The commands of ``python -m sldd.package``."""
