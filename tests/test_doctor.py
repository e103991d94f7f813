"""The examination of machine and environment."""

import torch

from medsmith.doctor import Finding, examine


def test_it_names_torch_memory_and_the_shipped_weights():
    found = {finding.subject: finding for finding in examine()}
    assert torch.__version__ in found["torch"].found
    assert "GiB free" in found["memory"].found
    for name in ("lesiondiffusion", "lldm", "mddpm", "pig"):
        assert f"{name} (" in found["shipped weights"].found


def test_what_is_missing_comes_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    found = {finding.subject: finding for finding in examine()}
    assert found["ray"].found == "not installed (synthesize --executor ray)"
    assert found["ray"].cure == "pip install -e '.[cluster]' -c constraints.txt"
    assert found["highdicom"].line.endswith("(DICOM); pip install -e '.[dicom]' -c constraints.txt")
    assert Finding("a", "b", "c").as_json() == {"subject": "a", "found": "b", "cure": "c"}
