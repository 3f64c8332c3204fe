"""What a study of given networks, counts, seeds and patients can show: simulated studies and their power."""
