"""Structured reports to free text, by rules or a language model."""
