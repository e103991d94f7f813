"""Words that a description may contain without saying anything that a report can hold."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from medsmith.reports.parsing.stemming import stem


def _words(text: str) -> frozenset[str]:
    return frozenset(stem(word) for word in re.findall(r"\w+", text))


_FUNCTION_WORDS: Final = (
    "a an the with and of in inside within at on by for to as from it its is are was were be been has have had having "
    "this that these those which who there also where here then each respectively either other others but while "
    "whereas per all s one both another any along across over up away apart off "
    "although though however because causing cause causes described does do did may might can could cannot"
)
_REPORTING: Final = (
    "show shows showing shown demonstrate demonstrates demonstrated demonstrating reveal reveals seen see noted note "
    "identified found detected visible visualized appreciated depicted located situated lying lies involving involve "
    "occupying appears appear appearing appearance contains contain containing arising originating evidence sign "
    "present presence finding impression conclusion technique comparison follow followup result report patient case "
    "clinical man woman male female lady gentleman incidental incidentally typical characteristic pattern "
    "mri ultrasound sonography radiograph etiology uncertain unclear undetermined significance suspect "
    "type sort region area side sided wall tissue component single solitary isolated cluster group focal first second "
    "third similar additional additionally ct cta mdct scan study exam examination image imaging low dose"
)
_MEASURING: Final = (
    "measuring measures measure measured size sized dimension dimensional diameter maximum maximal max length long "
    "extending greatest overall total approximately approx about around roughly ca circa value mean average edge axis "
    "larger largest smaller smallest bigger biggest thick slightly minimally highly mildly mild moderate moderately "
    "marked markedly very extremely quite rather fairly relatively somewhat mm cm ap tr cc tv si ml"
)
_HEDGING: Final = (
    "likely probable probably possible possibly presumably most suspected suspicious suspicion concerning "
    "concern worrisome consistent compatible suggestive suggesting suggest representing represent represents "
    "indicating indicative keeping favor favored nontender normal unremarkable clear significant significantly"
)
_TIME: Final = (
    "known again still otherwise unchanged stable now currently today current new newly interval increased decreased "
    "enlarged grown change changed growth increase decrease increasing decreasing previously previous prior formerly "
    "former prev since earlier compared versus vs baseline before"
)

STOP_WORDS: Final = _words(" ".join((_FUNCTION_WORDS, _REPORTING, _MEASURING, _HEDGING, _TIME)))
"""Words without a meaning of their own."""

SELECTING: Final = _words("larger largest bigger biggest smaller smallest one other second first third dominant up")
"""Words that pick one lesion out of several ("the larger 18 mm")."""

STABILITY: Final = _words("change changed growth increase decrease progression interval enlargement doubt")
"""Nouns that a negation may stand before without denying a lesion ("no change in the 14 mm cyst")."""

NORMAL: Final = _words(
    "normal unremarkable clear intact patent preserved inconspicuous regular physiological recommend "
    "recommended advised"
)
"""Words that say that there is nothing to report."""

TITLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("margin", "border", "boundary", "surface", "contour", "outline"), "surface"),
        **dict.fromkeys(("shape", "shaped", "form"), "shape"),
        **dict.fromkeys(("density", "attenuation"), "density"),
        **dict.fromkeys(("variation", "texture", "structure"), "density_variation"),
        **dict.fromkeys(("enhancement", "contrast"), "enhancement"),
        **dict.fromkeys(("relationship", "relation"), "relationship"),
        **dict.fromkeys(("organ", "location", "place"), "cavity"),
        "feature": "features",
    }
)
"""Nouns that name an attribute: no meaning of their own, but they tell which attribute an adjacent word is about."""

SIZE_WORDS: Final = (
    *("large", "largish", "big", "biggish", "huge", "giant", "gigantic", "massive", "enormous", "immense", "bulky"),
    *("sizeable", "sizable", "voluminous", "oversized", "medium", "midsize", "mid sized", "middle sized"),
    *("moderate size", "moderate sized", "moderately sized", "intermediate sized", "average sized"),
    *("small", "smallish", "tiny", "minute", "little", "minuscule", "diminutive", "miniature", "microscopic"),
    *("subcentimeter", "subcentimetre", "sub centimeter", "sub centimetre", "subcentimetric", "millimetric"),
)
"""Sizes without a number, which a report cannot hold; they are set aside with a remark."""

NOT_KEPT: Final = (
    *("prominent", "subtle", "faint"),
    *("acute", "subacute", "chronic", "old", "recent", "benign", "malignant", "indeterminate", "nonspecific"),
    *("non specific", "obstructing", "obstructive", "non obstructing", "nonobstructing", "non obstructive"),
    *(
        "nonobstructive",
        "circumferential",
        "annular",
        "eccentric",
        "concentric",
        "dominant",
        "washout",
        "wash out",
        "primary",
    ),
    *("secondary", "symptomatic", "asymptomatic", "bosniak i", "bosniak 1", "uncomplicated", "non complicated"),
    *("thin", "thin walled", "thick walled", "too small to characterize", "mass like", "masslike", "mass effect"),
    *(
        "expansile",
        "regular",
        "partially",
        "partly",
        "predominantly",
        "mainly",
        "diffuse",
        "extensive",
        "pleural based",
    ),
)
"""Descriptions that a report cannot hold; they are set aside with a remark."""

HEADERS: Final = (
    *(f"ct {part}" for part in ("chest", "thorax", "abdomen", "abdomen and pelvis", "abdomen pelvis", "head", "brain")),
    *(f"ct of the {part}" for part in ("chest", "thorax", "abdomen", "abdomen and pelvis", "head", "brain")),
    *(f"{part} ct" for part in ("chest", "thoracic", "abdominal", "abdominopelvic", "head", "brain")),
)
"""Names of examinations: the part of the body that was scanned is not the organ of a lesion."""

KIDNEY_PARTS: Final = (
    *(f"{which}pole" for which in ("", "upper ", "lower ", "mid ", "middle ")),
    *("interpolar", "interpolar region", "calyx", "calyce", "calix", "caliceal", "calyceal", "lower pole calyx"),
    *("parapelvic", "peripelvic", "renal pelvis"),
)
"""Parts of the kidney, unless another organ is named."""

PLACES: Final = (
    *(
        "upper third",
        "middle third",
        "mid third",
        "hemisphere",
        "pelvis",
        "lower third",
        "dome",
        "subcapsular",
        "peripheral",
        "periphery",
        "central",
        "centrally",
    ),
    *("cortex", "cortical", "renal cortex", "medulla", "hilar", "perihilar", "hilum"),
    *(
        "subpleural",
        "apex",
        "apices",
        "apical",
        "basal",
        "base",
        "anterior",
        "posterior",
        "medial",
        "lateral",
        "superior",
    ),
    *("inferior", "anterolateral", "posterolateral", "anteromedial", "posteromedial", "anteriorly", "posteriorly"),
    *("laterally", "medially", "head", "neck", "body", "tail", "uncinate process", "uncinate", "fundus", "antrum"),
    *("pylorus", "cardia", "tip", "distal"),
    *("proximal", "mid", "middle", "dependent", "lobe", "parenchyma", "upper", "lower", "segment", "subsegment"),
    *("anterior segment", "posterior segment", "superior segment", "caudate lobe", "caudate", "quadrate lobe"),
)
"""Parts of an organ, which a report does not tell apart; they are set aside with a remark."""
