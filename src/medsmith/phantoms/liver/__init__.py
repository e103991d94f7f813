"""Hepatobiliary-phase MR of the liver with its vessels and tumors."""
