"""What cannot be asked of mDDPM is said in the words of the request."""

import pytest

from medsmith.errors import RequestError
from medsmith.methods.config import validated
from medsmith.methods.mddpm.request import MddpmRequest, Pathology
from medsmith.synthesis.tasks import SynthesisRequest

NAN = float("nan")


def lesion(**entries):
    return {"pathologies": [{"case": "cohort", **entries}]}


@pytest.mark.parametrize(
    ("request_", "line"),
    [
        (lesion(at=[0.5, 1.5]), "request: pathologies.0.at.1 = 1.5; must be less than or equal to 1"),
        (lesion(at=[0.5]), "request: pathologies.0.at = [0.5]; must have at least 2 entries"),
        (lesion(at=[0, 0, 0, 0]), "request: pathologies.0.at = [0, 0, 0, 0]; must have at most 3 entries"),
        (lesion(at="left"), 'request: pathologies.0.at = "left"; must be a list'),
        (lesion(at=[NAN, 0]), "request: pathologies.0.at.0 = NaN; must be a finite number"),
        (lesion(scale=NAN), "request: pathologies.0.scale = NaN; must be a finite number"),
        (lesion(within="\udcff"), "request: a value holds '\\udcff', which is no text; text in UTF-8; write it anew"),
        ({"anatomy": {"space": "a\0b"}}, "request: anatomy.space: is no path: it holds a null character"),
        ({"anatomy": {"space": "\ud800"}}, "request: anatomy.space: is no path: it holds half a character"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(request_, line):
    with pytest.raises(RequestError) as refusal:
        validated(MddpmRequest, "request", request_)
    assert refusal.value.line == line


def test_a_place_has_two_or_three_shares():
    for at in ([0.25, 1.0], [0.0, 0.5, 1.0]):
        found = validated(MddpmRequest, "request", lesion(at=at))
        assert found.model_dump(mode="json")["pathologies"][0]["at"] == at


def test_nan_reaches_a_worker_as_nan():
    sent = SynthesisRequest(run="run", request=lesion(scale=NAN)).model_dump(mode="json")
    with pytest.raises(RequestError, match="scale = NaN; must be a finite number"):
        validated(MddpmRequest, "request", sent["request"])


def test_a_lesion_acts_to_the_end():
    assert Pathology.model_validate({"case": "cohort"}).last_time(1000) == -1


@pytest.mark.parametrize(
    ("given", "alone", "beside"),
    [({}, -1, 299), ({"until": 0}, -1, -1), ({"until": 0.2}, 199, 199), ({"last_step": 3}, 1, 1)],
)
def test_a_texture_beside_an_anatomy_stops_with_it(given, alone, beside):
    """Unless the request says when: then the anatomy has the last say, whether options or a file named the texture."""
    request = {"guides": [{"image": "cohort", **given}]}
    assert MddpmRequest.model_validate(request).textures[0].last_time(1000) == alone
    found = MddpmRequest.model_validate({**request, "anatomy": {"space": "space"}})
    assert found.textures[0].last_time(1000) == beside
    assert found.anatomy is not None
    assert found.anatomy.last_time(1000) == 299


@pytest.mark.parametrize(
    ("given", "alone", "beside"), [({}, 64, 16), ({"factor": 7}, 7, 7), ({"relative_factor": 0.5}, 256, 256)]
)
def test_a_texture_beside_an_anatomy_is_finer_than_it(given, alone, beside):
    """Unless the request says how fine: a coarser one would be replaced by the anatomy, which acts after it."""
    request = {"guides": [{"image": "cohort", **given}]}
    assert MddpmRequest.model_validate(request).textures[0].factor_at((512, 512)) == alone
    found = MddpmRequest.model_validate({**request, "anatomy": {"space": "space"}})
    assert found.textures[0].factor_at((512, 512)) == beside
    assert found.anatomy is not None
    assert found.anatomy.factor_at((512, 512)) == 32
