"""Burned-in annotation and lossy compression: what the source states is stated again, and nothing else."""

import pytest

from export_cohorts import cohort_of, exported_case
from medsmith.errors import RequestError
from medsmith.exporting import ExportOptions, export

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("highdicom")
NONE = (None, None, None)


@pytest.fixture
def scans(tmp_path):
    """A cohort with a case that was made from a scan, and the scan's images."""
    export(cohort_of(tmp_path / "scans", exported_case("scan")), tmp_path / "dicom", ExportOptions(date="20200101"))
    images = sorted((tmp_path / "dicom" / "scan" / "01-CT").iterdir())
    return cohort_of(tmp_path / "in", exported_case("made", synthetic=True)), images


def state(images, **marks):
    for path in images:
        found = pydicom.dcmread(path)
        for keyword, value in marks.items():
            setattr(found, keyword, value)
        found.save_as(path)


def stated(folder):
    """Burned-in annotation, lossy compression and its ratio in all images of an export."""
    keywords = ("BurnedInAnnotation", "LossyImageCompression", "LossyImageCompressionRatio")
    read = [pydicom.dcmread(path) for path in (folder / "made" / "01-CT").iterdir()]
    (found,) = {tuple(one.get(keyword) for keyword in keywords) for one in read}
    return found


def test_what_no_source_states_is_not_stated(scans, tmp_path):
    cohort, images = scans
    export(cohort, tmp_path / "without", ExportOptions(date="20260102"))
    export(cohort, tmp_path / "silent", ExportOptions(date="20260102"), source=images[0].parent)
    assert stated(tmp_path / "without") == stated(tmp_path / "silent") == NONE


@pytest.mark.parametrize(("count", "said"), [(8, ("NO", "00", None)), (7, NONE)])
def test_absence_is_stated_if_all_images_state_it(count, said, scans, tmp_path):
    cohort, images = scans
    state(images[:count], BurnedInAnnotation="NO", LossyImageCompression="00")
    export(cohort, tmp_path / "out", ExportOptions(date="20260102"), source=images[0].parent)
    assert stated(tmp_path / "out") == said


def test_one_lossy_image_makes_what_follows_from_it_lossy(scans, tmp_path):
    cohort, images = scans
    state(images, LossyImageCompression="00")
    state(images[3:4], LossyImageCompression="01", LossyImageCompressionRatio="8.5")
    export(cohort, tmp_path / "out", ExportOptions(date="20260102"), source=images[0].parent)
    assert stated(tmp_path / "out") == (None, "01", 8.5)
    assert pydicom.dcmread(tmp_path / "out" / "made" / "segmentation.dcm").LossyImageCompression == "01"


def test_burned_in_annotation_is_refused_unless_identity_is_kept(scans, tmp_path):
    cohort, images = scans
    state(images[2:3], BurnedInAnnotation="YES")
    with pytest.raises(RequestError, match=r"images of made carry burned-in annotation, .*add --keep-identity"):
        export(cohort, tmp_path / "out", ExportOptions(date="20260102"), source=images[0].parent)
    assert not list((tmp_path / "out").rglob("*.dcm"))
    options = ExportOptions(date="20260102", keep_identity=True)
    export(cohort, tmp_path / "kept", options, source=images[0].parent)
    assert stated(tmp_path / "kept")[0] == "YES"


def test_a_transfer_syntax_that_always_loses_makes_what_follows_from_it_lossy(scans, tmp_path):
    cohort, images = scans
    state(images[1:], LossyImageCompression="00")
    first = pydicom.dcmread(images[0])
    first.compress(pydicom.uid.JPEGLSNearLossless, jls_error=1, generate_instance_uid=False)
    assert "LossyImageCompression" not in first
    first.save_as(images[0])
    export(cohort, tmp_path / "out", ExportOptions(date="20260102"), source=images[0].parent)
    assert stated(tmp_path / "out")[1] == "01"
