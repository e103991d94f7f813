"""Label maps whose values are named by a class map."""

import json

import numpy as np
import pytest

from medsmith.errors import MedsmithError
from medsmith.preparation.options import PrepareOptions
from medsmith.preparation.prepare import prepare
from medsmith.reports.organs import V1, V2
from scan_files import image_array, nifti_bytes, write_pair, zipped

LIVER, BRAIN, LESION = 5, 90, 200
PLACES = {LIVER: np.s_[2:5, 2:5, 2:5], BRAIN: np.s_[6:9, 6:9, 5:8]}
TABLE = '<LabelTable><Label Key="{}" Red="0.0"><![CDATA[{}]]></Label></LabelTable>'


def source(folder, values=(LIVER, BRAIN), table=None):
    image = image_array()
    labels = np.zeros(image.shape, dtype=np.uint8)
    for place, value in zip(PLACES.values(), values, strict=True):
        labels[place] = value
    extension = None if table is None else TABLE.format(*table).encode()
    write_pair(folder, zipped(nifti_bytes(image)), zipped(nifti_bytes(labels, extension=extension)))
    return folder


def made(folder, values=(LIVER, BRAIN), table=None, **options):
    found = source(folder / "in", values, table)
    return prepare(found, folder / "out", PrepareOptions(**options), report=lambda _: None)


@pytest.mark.parametrize(("name", "classes"), [("totalsegmentator", V2), ("totalsegmentator-v1", V1)])
def test_every_class_keeps_its_value(tmp_path, name, classes):
    cohort = made(tmp_path, class_map=name)
    assert cohort.label_names == {"background": 0} | {organ: value for value, organ in classes.items()}
    labels = cohort.stored(cohort.ids[0]).require_labels()
    for value, place in PLACES.items():
        assert (labels[place] == value).all()
    assert json.loads((tmp_path / "out" / "prepare.json").read_text())["options"]["class_map"] == name


def test_declared_labels_add_to_the_classes_and_rename_them(tmp_path):
    cohort = made(
        tmp_path, (LIVER, LESION), class_map="totalsegmentator", label_names={"hepar": LIVER, "lesion": LESION}
    )
    assert len(cohort.label_names) == 1 + 117 + 1
    assert "liver" not in cohort.label_names
    labels = cohort.stored(cohort.ids[0]).require_labels()
    assert (labels[PLACES[LIVER]] == cohort.label_names["hepar"]).all()
    assert (labels[PLACES[BRAIN]] == cohort.label_names["lesion"]).all()


def test_a_table_in_the_file_that_agrees_is_taken(tmp_path):
    assert made(tmp_path, table=(LIVER, "liver"), class_map="totalsegmentator").label_names["liver"] == LIVER


def tables(*pairs):
    labels = "".join(f'<Label Key="{value}"><![CDATA[{name}]]></Label>' for value, name in pairs)
    return f"<CaretExtension><VolumeInformation><LabelTable>{labels}</LabelTable></VolumeInformation></CaretExtension>"


def written(folder, *pairs_of_each):
    """One labeled scan for each table in a header; None for a file without one."""
    labels = np.zeros(image_array().shape, dtype=np.uint8)
    for value, place in PLACES.items():
        labels[place] = value
    for number, pairs in enumerate(pairs_of_each):
        extension = None if pairs is None else tables(*pairs).encode()
        source_of = folder / "in" / f"s{number}"
        write_pair(source_of, zipped(nifti_bytes(image_array())), zipped(nifti_bytes(labels, extension=extension)))
    lines: list[str] = []
    return prepare(folder / "in", folder / "out", PrepareOptions(), report=lines.append), lines


def test_the_names_in_the_headers_are_taken_where_none_are_declared(tmp_path):
    cohort, lines = written(
        tmp_path, ((0, "background"), (LIVER, "liver"), (BRAIN, "brain")), ((BRAIN, "brain"), (LIVER, "liver"))
    )
    assert cohort.label_names == {"background": 0, "liver": 1, "brain": 2}
    labels = cohort.stored(cohort.ids[0]).require_labels()
    assert (labels[PLACES[LIVER]] == 1).all()
    assert (labels[PLACES[BRAIN]] == 2).all()
    how = f"as the headers of the files name them; renumbered from background = 0, liver = {LIVER}, brain = {BRAIN}"
    assert f"labels: background = 0, liver = 1, brain = 2 ({how})" in lines


@pytest.mark.parametrize("other", [None, ((LIVER, "liver"), (BRAIN, "liver")), ((LIVER, "spleen"), (BRAIN, "brain"))])
def test_names_in_headers_that_are_missing_or_contradict_each_other_are_not_taken(tmp_path, other):
    with pytest.raises(MedsmithError, match=r"undeclared values must be .*; is this the image.* or --class-map"):
        written(tmp_path, ((LIVER, "liver"), (BRAIN, "brain")), other)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"table": (LIVER, "gallbladder")}, "calls label 5 'gallbladder'; 'liver' in the class map totalsegmentator; "),
        ({"values": (LIVER, LESION)}, "undeclared label values 200 .* duodenum = 19 and 98 more; is this the image"),
        ({"class_map": "totalsegmenter"}, "--class-map: 'totalsegmenter'; one of .*; did you mean 'totalsegmentator'"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, given, message):
    with pytest.raises(MedsmithError, match=message):
        made(tmp_path, **{"class_map": "totalsegmentator", **given})
    assert not (tmp_path / "out").exists()


def test_labels_with_files_of_their_own_have_names_already(tmp_path):
    for name, data in (("ct", image_array()), ("segmentations/liver", np.ones_like(image_array(), dtype=np.uint8))):
        path = tmp_path / "in" / "s01" / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(zipped(nifti_bytes(data)))
    with pytest.raises(MedsmithError, match=r"--class-map: does not apply to .*; the labels there have names"):
        prepare(tmp_path / "in", tmp_path / "out", PrepareOptions(class_map="totalsegmentator"), report=lambda _: None)


def test_a_damaged_label_map_is_refused_as_without_a_class_map(tmp_path):
    folder = source(tmp_path / "in")
    damaged = next(folder.glob("labels/*"))
    damaged.write_bytes(damaged.read_bytes()[:60])
    lines = set()
    for name in ("totalsegmentator", None):
        with pytest.raises(MedsmithError) as caught:
            prepare(folder, tmp_path / "out", PrepareOptions(class_map=name), report=lambda _: None)
        lines.add(caught.value.line)
    assert len(lines) == 1
