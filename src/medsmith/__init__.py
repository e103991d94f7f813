"""medsmith generates annotated medical images: synthetic research data, not for diagnosis.

Public names are imported on first use, so that ``import medsmith`` is fast. ``dir(medsmith)`` lists them. Where a
function takes a cohort, the path of its folder will do.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from medsmith.anatomy import ShapeSpace as ShapeSpace
    from medsmith.annotation import AnnotationOptions as AnnotationOptions
    from medsmith.annotation import annotate as annotate
    from medsmith.benchmarks import bench as bench
    from medsmith.cases.case import Case as Case
    from medsmith.cases.case_ref import CaseRef as CaseRef
    from medsmith.cases.cohort import Cohort as Cohort
    from medsmith.data.scenes import scenes_of as scenes_of
    from medsmith.errors import MedsmithError as MedsmithError
    from medsmith.evaluation import evaluate as evaluate
    from medsmith.evaluation.adherence import AdherenceOptions as AdherenceOptions
    from medsmith.evaluation.adherence import adherence as adherence
    from medsmith.evaluation.downstream import SegmenterConfig as SegmenterConfig
    from medsmith.evaluation.downstream import UtilityOptions as UtilityOptions
    from medsmith.evaluation.downstream.utility import utility as utility
    from medsmith.evaluation.overall import evaluate_all as evaluate_all
    from medsmith.evaluation.reader_study import StudyPlan as StudyPlan
    from medsmith.evaluation.reader_study import create_study as create_study
    from medsmith.evaluation.reader_study import score_study as score_study
    from medsmith.exporting import ExportOptions as ExportOptions
    from medsmith.exporting import export as export
    from medsmith.geometry import Geometry as Geometry
    from medsmith.measurement.reports import describe as describe
    from medsmith.methods.copypaste.request import CopyPasteRequest as CopyPasteRequest
    from medsmith.methods.ddpm import DdpmRequest as DdpmRequest
    from medsmith.methods.lesiondiffusion.request import LesionDiffusionRequest as LesionDiffusionRequest
    from medsmith.methods.lldm.request import LldmRequest as LldmRequest
    from medsmith.methods.mddpm.request import MddpmRequest as MddpmRequest
    from medsmith.methods.pig import PigRequest as PigRequest
    from medsmith.methods.segguided import SegGuidedRequest as SegGuidedRequest
    from medsmith.phantoms.families import phantom as phantom
    from medsmith.preparation import PrepareOptions as PrepareOptions
    from medsmith.preparation import ReadOptions as ReadOptions
    from medsmith.preparation import merge as merge
    from medsmith.preparation import prepare as prepare
    from medsmith.preparation import split as split
    from medsmith.preparation.crop import CropOptions as CropOptions
    from medsmith.preparation.crop import crop as crop
    from medsmith.preparation.select import select as select
    from medsmith.progress import ConsoleProgress as ConsoleProgress
    from medsmith.reports.parsing.report import parse_report as parse_report
    from medsmith.reports.sampling import sample_report as sample_report
    from medsmith.reports.schema import LesionReport as LesionReport
    from medsmith.runs.checkpoints import load_method as load_method
    from medsmith.synthesis import SweepGrid as SweepGrid
    from medsmith.synthesis import SynthesisOptions as SynthesisOptions
    from medsmith.synthesis import regenerate as regenerate
    from medsmith.synthesis import sweep as sweep
    from medsmith.synthesis import synthesize as synthesize
    from medsmith.synthesis import synthesize_shards as synthesize_shards
    from medsmith.synthesis import unpack as unpack
    from medsmith.training import Budget as Budget
    from medsmith.training import train as train
    from medsmith.training.planning import make_plan as make_plan

_HOMES = {
    "AdherenceOptions": "medsmith.evaluation.adherence",
    "AnnotationOptions": "medsmith.annotation",
    "Budget": "medsmith.training",
    "Case": "medsmith.cases.case",
    "CaseRef": "medsmith.cases.case_ref",
    "Cohort": "medsmith.cases.cohort",
    "ConsoleProgress": "medsmith.progress",
    "CopyPasteRequest": "medsmith.methods.copypaste.request",
    "CropOptions": "medsmith.preparation.crop",
    "DdpmRequest": "medsmith.methods.ddpm",
    "ExportOptions": "medsmith.exporting",
    "Geometry": "medsmith.geometry",
    "LesionDiffusionRequest": "medsmith.methods.lesiondiffusion.request",
    "LesionReport": "medsmith.reports.schema",
    "LldmRequest": "medsmith.methods.lldm.request",
    "MddpmRequest": "medsmith.methods.mddpm.request",
    "MedsmithError": "medsmith.errors",
    "PigRequest": "medsmith.methods.pig",
    "PrepareOptions": "medsmith.preparation",
    "ReadOptions": "medsmith.preparation",
    "SegGuidedRequest": "medsmith.methods.segguided",
    "SegmenterConfig": "medsmith.evaluation.downstream",
    "ShapeSpace": "medsmith.anatomy",
    "StudyPlan": "medsmith.evaluation.reader_study",
    "SweepGrid": "medsmith.synthesis",
    "SynthesisOptions": "medsmith.synthesis",
    "UtilityOptions": "medsmith.evaluation.downstream",
    "adherence": "medsmith.evaluation.adherence",
    "annotate": "medsmith.annotation",
    "bench": "medsmith.benchmarks",
    "create_study": "medsmith.evaluation.reader_study",
    "crop": "medsmith.preparation.crop",
    "describe": "medsmith.measurement.reports",
    "evaluate": "medsmith.evaluation",
    "evaluate_all": "medsmith.evaluation.overall",
    "export": "medsmith.exporting",
    "load_method": "medsmith.runs.checkpoints",
    "make_plan": "medsmith.training.planning",
    "merge": "medsmith.preparation",
    "parse_report": "medsmith.reports.parsing.report",
    "phantom": "medsmith.phantoms.families",
    "prepare": "medsmith.preparation",
    "regenerate": "medsmith.synthesis",
    "sample_report": "medsmith.reports.sampling",
    "scenes_of": "medsmith.data.scenes",
    "score_study": "medsmith.evaluation.reader_study",
    "select": "medsmith.preparation.select",
    "split": "medsmith.preparation",
    "sweep": "medsmith.synthesis",
    "synthesize": "medsmith.synthesis",
    "synthesize_shards": "medsmith.synthesis",
    "train": "medsmith.training",
    "unpack": "medsmith.synthesis",
    "utility": "medsmith.evaluation.downstream",
}
"""Public name -> module that has it."""
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
