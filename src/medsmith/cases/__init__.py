"""Annotated images (Case), folders of them (Cohort), and references to them in requests (CaseRef)."""
