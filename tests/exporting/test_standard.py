"""Exported objects against the tables of the DICOM standard (PS3.3) that highdicom holds, and pydicom's validation."""

import numpy as np
import pytest

from export_cohorts import cohort_of, exported_case
from medsmith.exporting import ExportOptions, export

pydicom = pytest.importorskip("pydicom")
standard = pytest.importorskip("highdicom._standard_utils")
MANDATORY, REQUIRED = "M", "1"
FUNCTIONAL_GROUPS = "functional-groups"


@pytest.fixture(scope="module", params=["CT", "MR"])
def written(request, tmp_path_factory):
    """An image, the segmentation and the structure set of a case, read with pydicom's strict validation."""
    root = tmp_path_factory.mktemp(request.param)
    case = exported_case(affine=np.diag([1.0, 1, 2, 1]))
    cohort = cohort_of(root / "in", case)
    export(cohort, root / "out", ExportOptions(structures=True, date="20260102", modality=request.param))
    pydicom.config.settings.reading_validation_mode = pydicom.config.RAISE
    try:
        found = [pydicom.dcmread(path) for path in sorted((root / "out").rglob("*.dcm"))]
        for each in found:
            each.walk(lambda _, element: element.value)  # values are checked where they are decoded
        return found
    finally:
        pydicom.config.settings.reading_validation_mode = pydicom.config.WARN


def modules_of(data):
    """Mandatory modules of the object's IOD."""
    name = standard.get_sop_class_iod_map()[data.SOPClassUID]
    return [each["key"] for each in standard.get_iod_module_map()[name] if each["usage"] == MANDATORY]


def test_every_kind_of_object_is_checked(written):
    kinds = {data.Modality for data in written}
    assert {"SEG", "RTSTRUCT"} < kinds
    assert len(kinds) == 3
    assert all(len(modules_of(data)) >= 6 for data in written)


def test_attributes_of_types_1_and_2_are_there_in_all_mandatory_modules(written):
    for data in written:
        for module in modules_of(data):
            # The table lists the attributes of all macros, of which a group has its own.
            standard.check_required_attributes(data, module, recursive=not module.endswith(FUNCTIONAL_GROUPS))


def test_attributes_of_type_1_have_values(written):
    attributes = standard.get_module_attribute_map()
    for data in written:
        for module in modules_of(data):
            for each in attributes[module]:
                if each["type"] == REQUIRED and not each["path"]:
                    assert data[each["keyword"]].value not in (None, ""), f"{data.Modality}: {each['keyword']}"


def test_the_tables_find_what_lacks(written):
    data = pydicom.Dataset()
    data.update(written[0])
    del data.SeriesInstanceUID
    with pytest.raises(AttributeError, match="SeriesInstanceUID"):
        standard.check_required_attributes(data, "general-series")
