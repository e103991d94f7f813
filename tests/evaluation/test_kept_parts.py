"""Parts of a report on disk: what is there is read, what is damaged is made anew, with a warning."""

import json
import logging

import numpy as np
import pytest

from medsmith.cases.cohort import Cohort
from medsmith.errors import FileError
from medsmith.evaluation.kept_folder import folder_key
from medsmith.evaluation.kept_parts import keep_part, kept_part
from medsmith.evaluation.privacy.batches import KeptParts

pytestmark = pytest.mark.usefixtures("no_fsync")
PART = {"values": [0.1, None, 1e-300], "of": "é", "nested": {"1": [True, -2]}}


@pytest.fixture
def path(tmp_path):
    keep_part(tmp_path / "part.json", PART)
    return tmp_path / "part.json"


def test_a_part_is_read_as_it_was_written(path):
    assert kept_part(path) == PART
    assert kept_part(path.with_name("other.json")) is None


def changed(text):
    yield from ("", "[]", "{}", "7", text[: len(text) // 2], text.replace("0.1", "0.2"), text.replace("0.1", "NaN"))
    yield from (text.replace("true", "1"), text.replace('"of"', '"off"'), "[" * 5000, "\ud800")
    yield json.dumps({name: value for name, value in json.loads(text).items() if name != "sha256"})


def test_a_part_that_was_changed_is_none_and_says_so(path, caplog):
    forms = list(changed(path.read_text()))
    for text in forms:
        path.write_bytes(text.encode(errors="surrogatepass"))
        assert kept_part(path) is None, text
    assert caplog.messages == [f"{path}: is damaged, or not what this version writes, and is made anew"] * len(forms)


def test_a_part_that_cannot_be_read_is_refused(path):
    path.unlink()
    path.mkdir()
    with pytest.raises(FileError, match="a folder, not a file"):
        kept_part(path)


def test_a_damaged_part_is_made_anew_with_the_same_bytes(tmp_path, caplog):
    keep, calls = KeptParts(tmp_path), []

    def make():
        calls.append(1)
        return {"reached": np.asarray([0.25, 0.1], np.float32).tolist()}

    first = keep("images", make)
    whole = (tmp_path / "images.json").read_bytes()
    (tmp_path / "images.json").write_bytes(whole.replace(b"0.25", b"0.75"))
    with caplog.at_level(logging.WARNING):
        assert keep("images", make) == first == keep("images", make)
    assert (tmp_path / "images.json").read_bytes() == whole
    assert (len(calls), len(caplog.messages)) == (2, 1)


def test_parts_of_other_facts_labels_or_channels_lie_elsewhere(tmp_path):
    def named(label_names, channel_names=("T1", "T2")):
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        return Cohort.create(root, channel_names=channel_names, label_names=label_names, file_ending=".png")

    labels = {"background": 0, "lesion": 1, "liver": 2}
    own = named(labels)
    keys = [
        folder_key({"content": "a"}, [own]),
        folder_key({"content": "b"}, [own]),
        folder_key({"content": "a"}, [own, own]),
        folder_key({"content": "a"}, [named({"background": 0, "lesion": 2, "liver": 1})]),
        folder_key({"content": "a"}, [named(labels, ("T2", "T1"))]),
    ]
    assert len({*keys}) == len(keys)
    assert folder_key({"content": "a"}, [named({"liver": 2, "lesion": 1, "background": 0})]) == keys[0]
