"""Phrases as vectors: encoders, phrase tables, whitening."""
