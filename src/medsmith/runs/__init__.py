"""The run folder: record, weights, checkpoints, lock and model card."""
