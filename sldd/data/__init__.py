"""Cohorts, patches, splits and batches: from decoded radiographs to tensors."""
