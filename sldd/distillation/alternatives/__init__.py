"""Other ways to distil than through the receiver's own steps, and core sets, which distil nothing."""
