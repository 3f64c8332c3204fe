"""The grid of a study: axes and cells, chains of transfer, protocol, specifications of trials."""
