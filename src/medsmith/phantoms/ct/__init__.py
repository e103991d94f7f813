"""CT phantoms of body and head."""
