"""Radiologists' terms beyond the options of the vocabulary and their synonyms, with what they mean for a report."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import Final, final

from medsmith.reports.parsing.approximations import approximations
from medsmith.reports.parsing.filler import (
    HEADERS,
    HEDGES,
    KIDNEY_PARTS,
    LUNG_PARTS,
    NOT_KEPT,
    PLACES,
    SIZE_WORDS,
)


@final
@dataclass(frozen=True)
class Meaning:
    """The meaning of a phrase.

    Attributes:
        name: attribute of the template; or "kind" (noun of a lesion type), "noun" (of any lesion), "side", "sides"
            (both), "implied" (an organ unless another is named), "consistency" (a density unless another is named),
            "excluded" (an option that is ruled out), "part" (of an organ), "unused" (understood, but no report holds
            it), "unquantified" (a size without a number), "header" (of an examination), "hedged" (a word of doubt),
            "untyped" (how a diagnosis may look that has no lesion type) or "read as" (what stands for a phrase that a
            report holds only in part).
        value: option, organ, kind or side.
    """

    name: str
    value: str


KINDS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "cyst": ("cyst",),
        "stone": ("stone", "calculus", "calculi", "concrement", "concretion"),
        "cancer": (
            *("cancer", "tumor", "carcinoma", "adenocarcinoma", "malignancy", "neoplasm", "neoplasia"),
            *("squamous cell carcinoma", "small cell carcinoma", "large cell carcinoma", "clear cell carcinoma"),
            *("malignant neoplasm", "malignant tumor"),
            *("metastasis", "metastase", "metastatic deposit", "metastatic lesion", "metastatic disease", "met"),
        ),
        "hemorrhage": ("hemorrhage", "hematoma", "bleed", "bleeding"),
    }
)
"""Kind of lesion type -> its nouns, as stems."""
BROADER_NOUNS: Final = frozenset(
    (
        *("tumor", "neoplasm", "neoplasia", "malignant tumor", "malignant neoplasm", "metastasis", "metastase"),
        *("metastatic deposit", "metastatic lesion", "metastatic disease", "met"),
    )
)
"""Nouns of cancers, as stems, that also denote other lesions than a primary cancer of the organ."""
NOUNS: Final = ("lesion", "mass", "nodule", "finding", "abnormality", "opacity", "foci", "focus", "micronodule", "spot")
"""Nouns of a lesion of any kind."""

_GROUND_GLASS: Final = "low-density ground-glass opacity"
_PART_SOLID: Final = "isodense soft tissue mass with peripheral low-density ground-glass opacity"
_SOFT_TISSUE: Final = "isodense soft tissue mass"
_FLUID: Final = "hypodense fluid-like"
_WELL_DEFINED: Final = "well-defined margin"
_ILL_DEFINED: Final = "ill-defined margin"


def _cancer_of(organ: str) -> tuple[Meaning, ...]:
    return Meaning("kind", "cancer"), Meaning("implied", organ)


_NODULE: Final = Meaning("noun", "nodule")
_IN_LUNG: Final = Meaning("implied", "lung")
_OPACITY: Final = (Meaning("density", _GROUND_GLASS), _IN_LUNG)
_ENHANCED: Final = Meaning("enhancement", "enhanced CT")
_STONE_OF_GALLBLADDER: Final = (Meaning("kind", "stone"), Meaning("organ", "gallbladder"))
_STONE_OF_KIDNEY: Final = (Meaning("kind", "stone"), Meaning("organ", "kidney"))

_COMPOUND: Final[Mapping[tuple[Meaning, ...], tuple[str, ...]]] = MappingProxyType(
    {
        _STONE_OF_GALLBLADDER: ("gallstone", "gall stone", "cholelithiasis", "cholecystolithiasis"),
        _STONE_OF_KIDNEY: ("nephrolithiasis", "nephrolith"),
        _cancer_of("kidney"): ("rcc", "renal cell carcinoma", "renal cell cancer", "hypernephroma"),
        _cancer_of("liver"): ("hcc", "hepatocellular carcinoma", "hepatoma", "cholangiocarcinoma"),
        _cancer_of("lung"): (
            *("nsclc", "sclc", "non small cell lung cancer", "small cell lung cancer", "non small cell carcinoma"),
            *("bronchogenic carcinoma", "bronchial carcinoma"),
        ),
        _cancer_of("urinary_bladder"): ("tcc", "transitional cell carcinoma", "urothelial carcinoma"),
        _cancer_of("pancreas"): ("pdac", "pancreatic ductal adenocarcinoma"),
        _cancer_of("colon"): ("crc",),
        (Meaning("kind", "hemorrhage"), Meaning("implied", "brain")): ("ich",),
        (Meaning("noun", "nodule"), Meaning("density", _GROUND_GLASS), _IN_LUNG): (
            *("ggn", "ground glass nodule", "ground glass mass", "non solid nodule", "nonsolid nodule"),
            "pure ground glass nodule",
        ),
        (Meaning("noun", "nodule"), Meaning("density", _PART_SOLID), _IN_LUNG): (
            *("part solid nodule", "subsolid nodule", "semisolid nodule", "sub solid nodule"),
        ),
        (Meaning("noun", "mass"), Meaning("density", _SOFT_TISSUE)): (
            *("soft tissue mass", "soft tissue nodule", "soft tissue lesion"),
        ),
        (Meaning("noun", "nodule"), _IN_LUNG): ("spn",),
        _OPACITY: (
            *("ggo", "ground glass opacity", "ground glass attenuation"),
            *("non solid", "nonsolid", "pure ground glass"),
        ),
        (Meaning("density", _PART_SOLID), _IN_LUNG): (
            *("part solid", "subsolid", "semisolid", "sub solid", "mixed ground glass", "halo sign"),
        ),
        (Meaning("noun", "lesion"), Meaning("density", "hypodense")): (*("hypodensity", "hypoattenuation"),),
        (Meaning("noun", "lesion"), Meaning("density", "hyperdense")): ("hyperdensity",),
        (Meaning("noun", "lesion"), Meaning("shape", "protrusion into the lumen")): ("polyp",),
        (Meaning("shape", "irregular"), Meaning("shape", "wall thickening")): ("irregular wall thickening",),
        (Meaning("density", _FLUID), Meaning("density_variation", "homogeneous")): ("simple",),
        (_ENHANCED, Meaning("density", "hyperdense")): (
            *(
                "hypervascular",
                "hyperenhancing",
                "hyper enhancing",
                "arterially enhancing",
                "arterial enhancing",
                "hypervascularized",
            ),
            *("arterial hyperenhancement", "arterial phase hyperenhancement", "aphe"),
        ),
        (_ENHANCED, Meaning("density", "hypodense")): ("hypoenhancing", "hypo enhancing", "hypovascular"),
        (Meaning("sides", "both"),): ("bilateral", "bilaterally", "on both sides", "both"),
    }
)


def _areas(*degrees: str) -> Iterator[str]:
    """Parts of a lesion by their density: "areas of low density"."""
    for parts, degree, measure in product(("areas", "area"), degrees, ("density", "attenuation")):
        yield f"{parts} of {degree} {measure}"


def _more(change: str) -> tuple[str, ...]:
    return f"{change} attenuation", f"{change} density"


def _with_noun(*phrases: str) -> tuple[str, ...]:
    return tuple(f"{phrase}{noun}" for phrase in phrases for noun in ("", " opacity", " attenuation"))


def _duct_dilatation() -> Iterator[str]:
    ducts = ("ductal", "duct", "pancreatic duct", "main pancreatic duct", "pancreatic ductal", "mpd")
    for upstream, duct, noun in product(("", "upstream "), ducts, ("dilatation", "dilation", "ectasia")):
        yield f"{upstream}{duct} {noun}"
    for duct in ducts[1:]:
        yield from (f"dilated {duct}", f"dilatation of the {duct}", f"dilation of the {duct}")


_MORE_PHRASES: Final[Mapping[Meaning, tuple[str, ...]]] = MappingProxyType(
    {
        Meaning("cavity", "wall thickening"): ("in the wall", "at the wall", "on the wall", "from the wall", "mural"),
        Meaning("cavity", "within the lumen of a hollow organ"): ("inside the lumen", "within the lumen"),
        Meaning("cavity", "within the parenchymal organ"): ("endophytic",),
        Meaning("relationship", "close relationship with adjacent organs"): (
            *(
                "adjacent to",
                "next to",
                "abutting",
                "abut",
                "near",
                "in contact with",
                "touching",
                "abutment",
                "abutment of",
            ),
            *("bordering", "contacting", "in close contact with", "in contact to"),
        ),
        Meaning("features", "presence of decreased density areas"): (
            *("necrotic", "low density area", "hypodense area", "decreased density area", "central necrosis"),
            *_areas("decreased", "low"),
        ),
        Meaning("features", "presence of increased density areas"): (
            *("calcified", "high density area", "hyperdense area", "increased density area", "calcific"),
            *_areas("increased", "high"),
        ),
        Meaning("features", "retention of pancreatic fluid"): tuple(_duct_dilatation()),
        Meaning("consistency", _SOFT_TISSUE): ("solid",),
        Meaning("density", _PART_SOLID): (
            *_with_noun(
                "ground glass halo", "halo of ground glass", "peripheral ground glass", "ground glass component"
            ),
            *_with_noun("surrounding ground glass", "surrounded by ground glass", "perilesional ground glass"),
        ),
        Meaning("density", _FLUID): ("fluid attenuation", "water attenuation", "fluid filled", "fluid containing"),
        Meaning("density", "ring enhancement"): ("peripherally enhancing", "peripheral enhancement"),
        Meaning("density", "hypodense"): (
            "hypo dense",
            "hypo attenuating",
            "low attenuating",
            *_more("decreased"),
            "dark",
            "darker",
        ),
        Meaning("density", "hyperdense"): (
            "hyper dense",
            "hyper attenuating",
            "high attenuating",
            "radiopaque",
            *_more("increased"),
            "bright",
            "brighter",
        ),
        Meaning("density_variation", "heterogeneous"): ("complex", "heterogenous", "heterogeneously"),
        Meaning("density_variation", "homogeneous"): ("homogenous", "homogeneously"),
        Meaning("shape", "round-like"): ("roundish",),
        Meaning("shape", "wall thickening"): ("thickened", "thickening"),
        Meaning("shape", "luminal narrowing"): ("stricture", "narrowed lumen", "stenosing"),
        Meaning("surface", _WELL_DEFINED): (
            *("smooth", "smooth margin", "smoothly marginated", "sharply marginated", "sharply demarcated"),
            *("sharply defined", "well marginated", "well delineated", "circumscribed", "smoothly marginated"),
        ),
        Meaning("surface", _ILL_DEFINED): ("poorly circumscribed", "poorly marginated", "indistinct", "fuzzy margin"),
        _ENHANCED: (
            *("enhancing", "avidly enhancing", "post contrast", "with contrast", "with iv contrast", "after contrast"),
            *("arterial enhancement", "avid enhancement", "contrast uptake", "enhance", "enhances", "avidly enhance"),
            *("arterial phase", "portal venous phase", "venous phase", "contrast ct", "iv contrast"),
        ),
        Meaning("enhancement", "non-contrast CT"): (
            *("without contrast", "without iv contrast", "noncontrast", "non contrast", "noncontrast ct", "native"),
            "no contrast",
        ),
        Meaning("excluded", "ring enhancement"): (
            *("non enhancing", "nonenhancing", "not enhancing", "no enhancement", "without enhancement"),
            *("does not enhance", "do not enhance", "unenhancing"),
        ),
    }
)

_BRAIN_PARTS: Final = (
    *("frontal lobe", "parietal lobe", "temporal lobe", "occipital lobe", "basal ganglia", "thalamus", "cerebellum"),
    *("cerebellar", "frontal", "parietal", "temporal", "occipital", "cerebellar hemisphere", "putamen", "thalamic"),
)
_COLON_PARTS: Final = (
    *("sigmoid", "sigmoid colon", "ascending colon", "descending colon", "transverse colon", "cecum"),
    *("caecum", "cecal", "hepatic flexure", "splenic flexure"),
)
_ROMAN: Final = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii")


def _segments() -> Iterator[str]:
    """Couinaud's segments, in arabic and roman numerals, with the letters of the fourth."""
    numerals = [*_ROMAN, *map(str, range(1, 9)), "iva", "ivb", "4 a", "4 b", "iv a", "iv b"]
    yield from (f"{word} {numeral}" for word in ("segment", "seg", "couinaud segment") for numeral in numerals)
    yield from (f"s{number}" for number in range(1, 9))


def _of_part(organ: str, part: str) -> tuple[Meaning, ...]:
    return Meaning("implied", organ), Meaning("part", part)


def terms() -> Iterator[tuple[str, tuple[Meaning, ...]]]:
    """Every phrase with its meanings; an earlier one comes before a later one of the same words."""
    for meanings, phrases in _COMPOUND.items():
        yield from ((phrase, meanings) for phrase in phrases)
    for meaning, phrases in _MORE_PHRASES.items():
        yield from ((phrase, (meaning,)) for phrase in phrases)
    yield from ((phrase, tuple(Meaning(*pair) for pair in pairs)) for phrase, pairs in approximations())
    for kind, phrases in KINDS.items():
        yield from ((phrase, (Meaning("kind", kind),)) for phrase in phrases)
    yield from ((noun, (Meaning("noun", noun),)) for noun in NOUNS)
    yield from ((side, (Meaning("side", side),)) for side in ("left", "right"))
    yield from _parts_of_organs()
    yield from ((phrase, (Meaning("unused", phrase),)) for phrase in NOT_KEPT)
    yield from ((phrase, (Meaning("unquantified", phrase),)) for phrase in SIZE_WORDS)
    yield from ((phrase, (Meaning("header", phrase),)) for phrase in HEADERS)
    yield from ((phrase, (Meaning("hedged", phrase),)) for phrase in HEDGES)


def _parts_of_organs() -> Iterator[tuple[str, tuple[Meaning, ...]]]:
    yield from ((phrase, _of_part("liver", phrase)) for phrase in _segments())
    for side, word in product(("left", "right"), ("hepatic lobe", "liver lobe", "lobe of the liver", "lobe of liver")):
        yield f"{side} {word}", _of_part("liver", f"{side} {word}")
    for part in _BRAIN_PARTS:
        yield part, _of_part("brain", part)
        yield from ((f"{side} {part}", _of_part("brain", f"{side} {part}")) for side in ("left", "right"))
    yield from ((part, _of_part("kidney", part)) for part in KIDNEY_PARTS)
    yield from ((part, _of_part("lung", part)) for part in LUNG_PARTS)
    yield from ((part, _of_part("liver", part)) for part in ("caudate lobe", "quadrate lobe"))
    yield from ((part, _of_part("colon", part)) for part in _COLON_PARTS)
    yield from ((part, _of_part("pancreas", part)) for part in ("uncinate process", "uncinate"))
    yield "lingula", (Meaning("implied", "lung_upper_lobe_left"), Meaning("part", "lingula"))
    yield from ((phrase, (Meaning("part", phrase),)) for phrase in PLACES)
