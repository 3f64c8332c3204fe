"""Rebuild a package's network, and verify that it is the maker's."""
