"""From a package to its network, and whether that is the maker's."""
