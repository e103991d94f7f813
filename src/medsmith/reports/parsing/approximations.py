"""Terms that a report can hold only in part: how each is read, and what is lost."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

_DARK: Final = "presence of decreased density areas"
_CLOSE: Final = "close relationship with adjacent organs"

NO_CAVITY: Final = f"{_DARK}: no cavity filled with air is made"
ROUND: Final = "round-like: only a size with three edges tells that it is longer than wide"
IRREGULAR: Final = "irregular: lobes are not told apart from other outlines"
CYST: Final = "a cyst, without what sets it apart from one"

_RING: Final = "ring enhancement"
UNTYPED: Final[Mapping[str | None, Mapping[str, str]]] = MappingProxyType(
    {
        None: {
            "abscess": _RING,
            **dict.fromkeys(("granuloma", "granulomata", "hamartoma"), "calcification"),
            **dict.fromkeys(("hemangioma", "adenoma", "lymphoma", "infarct", "infarction"), "hypodense"),
            **dict.fromkeys(("lipoma", "liposarcoma"), "-100 HU"),
            **dict.fromkeys(
                ("sarcoma", "leiomyosarcoma", "leiomyoma", "fibroma", "schwannoma", "gist"), "soft tissue mass"
            ),
            **dict.fromkeys(("neuroendocrine tumor", "neuroendocrine neoplasm", "net", "pnet"), "hyperdense"),
            "meningioma": "hyperdense",
            "teratoma": "calcification",
        },
        "liver": dict.fromkeys(("fnh", "focal nodular hyperplasia", "hepatocellular adenoma"), "hyperdense"),
        "kidney": {**dict.fromkeys(("angiomyolipoma", "aml"), "-50 HU"), "oncocytoma": "isodense"},
        "brain": {
            **dict.fromkeys(("glioblastoma", "gbm"), _RING),
            **dict.fromkeys(("glioma", "astrocytoma"), "hypodense"),
        },
    }
)
"""Organ, unless another is named -> diagnoses that no lesion type stands for, and a word for how they may look."""

CYSTS: Final = (
    *("pseudocyst", "cystadenoma", "serous cystadenoma", "mucinous cystadenoma", "mucinous cystic neoplasm", "mcn"),
)
FLUIDS: Final = ("fluid collection", "collection of fluid", "biloma", "seroma", "urinoma", "lymphocele")
OVAL: Final = ("oval", "ovoid", "ovoidal", "oval shaped", "egg shaped")
LOBULATED: Final = ("lobulated", "lobular", "lobulation", "lobulations", "lobulated margin", "lobulated contour")
CAVITARY: Final = ("cavitary", "cavitating", "cavitation", "cavitated")


def approximations() -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
    """Every phrase with its meanings, as pairs of name and value; see `Meaning`."""
    for organ, looks in UNTYPED.items():
        implied = (("implied", organ),) if organ else ()
        yield from ((phrase, (("noun", "lesion"), *implied, ("untyped", look))) for phrase, look in looks.items())
    yield from ((phrase, (("kind", "cyst"), ("read as", CYST))) for phrase in CYSTS)
    for phrase in ("ipmn", "intraductal papillary mucinous neoplasm"):
        yield phrase, (("kind", "cyst"), ("implied", "pancreas"), ("read as", CYST))
    for phrase in ("hemorrhagic cyst", "proteinaceous cyst"):
        yield phrase, (("kind", "cyst"), ("density", "hyperdense"), ("read as", "a hyperdense cyst"))
    yield from ((phrase, (("noun", "lesion"), ("density", "hypodense fluid-like"))) for phrase in FLUIDS)
    yield from ((phrase, (("shape", "round-like"), ("read as", ROUND))) for phrase in OVAL)
    yield from ((phrase, (("shape", "irregular"), ("read as", IRREGULAR))) for phrase in LOBULATED)
    yield "intramuscular", (("implied", "soft_tissue"), ("part", "intramuscular"))
    yield from ((phrase, (("features", _DARK), ("read as", NO_CAVITY))) for phrase in CAVITARY)
    yield "cavity", (("noun", "lesion"), ("features", _DARK), ("read as", NO_CAVITY))
    for phrase in ("invading", "infiltrating", "invade", "encasing"):
        yield phrase, (("relationship", _CLOSE), ("read as", f"{_CLOSE}: no invasion is made"))
    for phrase in ("macroscopic fat", "fat containing", "containing fat", "intralesional fat", "intratumoral fat"):
        yield phrase, (("features", _DARK), ("read as", f"{_DARK}: fat is not told apart"))
    for phrase in ("fat density", "fatty", "fat attenuation"):
        yield phrase, (("density", "hypodense"), ("read as", "hypodense: for fat say its CT value, such as -100 HU"))
    for phrase in ("solid cystic", "solid and cystic", "cystic and solid", "cystic solid", "partly cystic"):
        yield (
            phrase,
            (("density", "mixed-density"), ("read as", "mixed-density: solid and cystic parts are not shaped")),
        )
    yield "lytic", (("density", "hypodense"),)
    yield "sclerotic", (("density", "hyperdense"),)
