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
    "include includes including "
    "identified found detected visible visualized appreciated depicted located situated lying lies involving involve "
    "occupying appears appear appearing appearance contains contain containing arising originating evidence sign "
    "present presence finding impression conclusion technique comparison follow followup result report patient case "
    "clinical man woman male female lady gentleman incidental incidentally typical characteristic pattern "
    "mri ultrasound sonography radiograph etiology uncertain unclear undetermined significance "
    "type sort region area side sided wall tissue component single solitary isolated cluster group focal first second "
    "third scattered similar additional additionally ct cta mdct scan study exam examination image imaging low dose"
)
_MEASURING: Final = (
    "measuring measures measure measured size sized dimension dimensional diameter maximum maximal max length long "
    "extending greatest overall total approximately approx about around roughly ca circa value mean average edge axis "
    "larger largest smaller smallest bigger biggest slightly minimally highly mildly mild moderate moderately "
    "marked markedly very extremely quite rather fairly relatively somewhat mm cm ap tr cc tv si ml"
)
_JUDGING: Final = (
    "most suspicion concern consistent compatible suggestive representing represent represents indicative keeping "
    "nontender normal unremarkable clear significant significantly"
)
_ASKING: Final = (
    "please add insert put place create make made generate draw give want wants need needs would like should me i we "
    "us my let lets something"
)
_TIME: Final = (
    "known again still otherwise unchanged stable now currently today current new newly interval increased decreased "
    "enlarged grown change changed growth increase decrease increasing decreasing previously previous prior formerly "
    "former prev since earlier compared baseline before"
)

STOP_WORDS: Final = _words(" ".join((_FUNCTION_WORDS, _REPORTING, _MEASURING, _JUDGING, _ASKING, _TIME)))
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

CATEGORIES: Final = (
    *(f"bosniak {grade}" for grade in ("i", "ii", "iif", "ii f", "iii", "iv", "1", "2", "2 f", "3", "4")),
    *(f"{name} {grade}" for name in ("li rads", "lirads", "lr") for grade in ("1", "2", "3", "4", "5", "m", "tiv")),
    *(f"{name} {grade}" for name in ("lung rads", "lungrads") for grade in ("1", "2", "3", "4 a", "4 b", "4 x")),
    *("fleischner", "too small to characterize", "too small to characterise"),
)
"""Categories of likelihood, which a report cannot hold."""

NOT_KEPT: Final = (
    *CATEGORIES,
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
    *("secondary", "symptomatic", "asymptomatic", "uncomplicated", "non complicated"),
    *("suspicious", "concerning", "worrisome", "fdg avid", "pet avid", "side branch", "capsule", "encapsulated"),
    *("septum", "septa", "septation", "septated", "loculated", "multilocular", "multiloculated", "unilocular"),
    *("scar", "central scar", "bilobed", "fluid level", "air fluid level", "gas fluid level", "fluid fluid level"),
    *("nodular enhancement", "peripheral nodular enhancement", "pleural retraction", "pleural tag", "pleural tail"),
    *("mural nodule", "in situ", "infectious", "inflammatory", "postinflammatory", "neoplastic"),
    *(
        "steatosis",
        "cirrhosis",
        "cirrhotic",
        "emphysema",
        "emphysematous",
        "osteopenia",
        "osteopenic",
        "atherosclerosis",
    ),
    *(
        f"{where} edema"
        for where in ("surrounding", "perilesional", "peritumoral", "vasogenic", "adjacent", "perifocal")
    ),
    *(
        "smoker",
        "former smoker",
        "ex smoker",
        "metastatic",
        "postsurgical",
        "post surgical",
        "postoperative",
        "post operative",
    ),
    *("postsurgical change", "post surgical change", "postoperative change", "post operative change"),
    *("midline shift", "fat stranding", "stranding", "hepatomegaly", "splenomegaly", "fatty liver disease"),
    *("thin", "thin walled", "thin wall", "thick", "thick walled", "thick wall", "wall is thick", "wall are thick"),
    *("irregular wall", "thick irregular wall", "irregular thick wall", "mass like", "masslike", "mass effect"),
    *(
        "expansile",
        "regular",
        "partially",
        "partly",
        "predominantly",
        "mainly",
        "diffuse",
        "extensive",
    ),
)
"""Descriptions that a report cannot hold; they are set aside with a remark."""

HEDGES: Final = (
    *("likely", "most likely", "more likely", "less likely", "very likely", "probable", "probably", "most probably"),
    *("possible", "possibly", "presumably", "presumed", "presumptive", "suspected", "suspect", "questionable"),
    *(
        "suspicious for",
        "suspicious of",
        "suspicion of",
        "suspicion for",
        "concerning for",
        "concern for",
        "concern of",
    ),
    *("worrisome for", "consistent with", "compatible with", "suggestive of", "suggesting", "suggest", "suggestion of"),
    *("in keeping with", "keeping with", "favor", "favored", "favored to represent", "favoring", "indicative of"),
    *("indicating", "may represent", "might represent", "could represent", "may be", "might be", "could be"),
    *("cannot be excluded", "can not be excluded", "cannot be ruled out", "can not be ruled out", "cannot exclude"),
    *("can not exclude", "cannot rule out", "not excluded", "not be excluded", "not ruled out", "not be ruled out"),
    *("is not excluded", "is not ruled out", "rule out", "to rule out", "question of", "query", "ddx", "dd"),
    *("vs", "versus", "either"),
    *("differential diagnosis", "differential", "until proven otherwise"),
)
"""Words of doubt. "Rule out" is a question; "ruled out" is an answer, and a negation."""

HEADERS: Final = (
    *(f"ct {part}" for part in ("chest", "thorax", "abdomen", "abdomen and pelvis", "abdomen pelvis", "head", "brain")),
    *(f"ct of the {part}" for part in ("chest", "thorax", "abdomen", "abdomen and pelvis", "head", "brain")),
    *(f"{part} ct" for part in ("chest", "thoracic", "abdominal", "abdominopelvic", "head", "brain")),
)
"""Names of examinations: the part of the body that was scanned is not the organ of a lesion."""

KIDNEY_PARTS: Final = (
    *(f"{which}pole" for which in ("", "upper ", "lower ", "mid ", "middle ")),
    *("interpolar", "interpolar region", "calyx", "calyce", "calix", "caliceal", "calyceal", "lower pole calyx"),
    *("parapelvic", "peripelvic", "renal pelvis", "upj", "ureteropelvic junction"),
)
"""Parts of the kidney, unless another organ is named."""

LUNG_PARTS: Final = (
    *("apical", "apex", "apices", "hilar", "perihilar", "subpleural", "juxtapleural", "pleural based", "perifissural"),
    *("fissure", "major fissure", "minor fissure", "oblique fissure", "horizontal fissure", "basilar", "bibasilar"),
    *("peribronchial", "peribronchovascular", "endobronchial"),
)
"""Parts of the lung, unless another organ is named."""

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
    *("cortex", "cortical", "renal cortex", "medulla", "hilum"),
    *("basal", "base", "anterior", "posterior", "medial", "lateral", "superior"),
    *("inferior", "anterolateral", "posterolateral", "anteromedial", "posteromedial", "anteriorly", "posteriorly"),
    *("laterally", "medially", "head", "neck", "body", "tail", "fundus", "antrum"),
    *("pylorus", "pyloric", "antral", "cardia", "tip", "distal"),
    *("proximal", "mid", "middle", "dependent", "lobe", "parenchyma", "upper", "lower", "segment", "subsegment"),
    *("anterior segment", "posterior segment", "superior segment", "caudate"),
)
"""Parts of an organ, which a report does not tell apart; they are set aside with a remark."""
