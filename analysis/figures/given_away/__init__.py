"""Score against what leaves the hospital with it: kilobytes, epsilon, and how well patients can be guessed."""
