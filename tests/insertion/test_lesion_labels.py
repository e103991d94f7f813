"""The label of synthetic lesions."""

import pytest

from medsmith.errors import RequestError
from medsmith.reports.lesion_label import lesion_label, with_label


@pytest.mark.parametrize(
    ("names", "real", "label"),
    [
        ((), True, "lesion"),
        (("liver",), True, "lesion"),
        (("tumour",), True, "synthetic_lesion"),
        (("lesion", "liver"), True, "synthetic_lesion"),
        (("tumour", "synthetic_lesion"), True, "synthetic_lesion"),
        (("tumour",), False, "tumour"),
        (("liver", "nodule", "lesion"), False, "lesion"),
        (("lesion", "synthetic_lesion"), False, "synthetic_lesion"),
    ],
)
def test_real_lesions_keep_their_label_to_themselves(names, real, label):
    assert lesion_label({"background": 0} | {name: row for row, name in enumerate(names, 1)}, real=real) == label


def test_a_new_label_has_the_next_value_and_an_organ_is_none():
    names = {"background": 0, "liver": 1, "tumour": 2}
    assert with_label(names, "tumour") == names
    assert with_label(names, "painted") == names | {"painted": 3}
    with pytest.raises(RequestError, match="'liver' is no lesion"):
        with_label(names, "liver")
    with pytest.raises(RequestError, match="leave no value for lesions"):
        with_label({str(value): value for value in range(256)}, "lesion")
