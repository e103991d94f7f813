"""Free text to structured reports."""
