"""Single files in and out: NIfTI, PNG, JSON. The only package that knows a byte on disk."""
