"""The run folder: its record, weights, checkpoints, lock and model card."""
