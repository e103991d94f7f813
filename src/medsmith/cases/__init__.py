"""Images with their labels, where they lie in the patient, and folders of them: Case, Geometry, Cohort, CaseRef."""
