"""Where patients come from: one file a source."""
