"""Limbs with a soft-tissue tumor, in T1-weighted MR and in CT."""
