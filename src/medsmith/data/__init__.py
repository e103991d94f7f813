"""From cases to tensors and back: fingerprint, scaling and resampling, batches, similarity."""
