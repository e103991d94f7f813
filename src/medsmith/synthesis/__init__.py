"""Cases from trained methods: seeds, workers, checks, provenance, resuming, and making a case again."""

from medsmith.synthesis.coordinator import Conditions, synthesize
from medsmith.synthesis.folder import Summary
from medsmith.synthesis.lesions_page import write_lesions_page
from medsmith.synthesis.process import Patience
from medsmith.synthesis.regeneration import regenerate

__all__ = ["Conditions", "Patience", "Summary", "regenerate", "synthesize", "write_lesions_page"]
