"""TotalSegmentator organ names: label values, groups, synonyms, and whether an organ is hollow.

The numbers are those of the class maps ``total_v1`` and ``total`` of TotalSegmentator 2 (Wasserthal et al. 2023).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from jaxtyping import Bool

from medsmith.reports.vocabulary import Cavity


def _text(names: Iterable[str]) -> str:
    return " ".join(names)


def _pairs(*names: str) -> str:
    return _text(f"{name}_{side}" for name in names for side in ("left", "right"))


def _vertebrae(**counts: int) -> str:
    """Names in caudal to cranial order, as in TotalSegmentator."""
    return _text(f"vertebrae_{letter}{number}" for letter, count in counts.items() for number in range(count, 0, -1))


def _numbered(names: str) -> Mapping[int, str]:
    return MappingProxyType(dict(enumerate(names.split(), start=1)))


_UPPER_ABDOMEN = "spleen kidney_right kidney_left gallbladder liver stomach"
_ADRENALS = "adrenal_gland_right adrenal_gland_left"
_LOBES = "lung_upper_lobe_left lung_lower_lobe_left lung_upper_lobe_right lung_middle_lobe_right lung_lower_lobe_right"
_SPINE = _vertebrae(L=5, T=12, C=7)
_RIBS = _text(f"rib_{side}_{number}" for side in ("left", "right") for number in range(1, 13))
_BONES = _pairs("humerus", "scapula", "clavicula", "femur", "hip")
_MUSCLES = _pairs("gluteus_maximus", "gluteus_medius", "gluteus_minimus", "autochthon", "iliopsoas")
_ILIAC = _pairs("iliac_artery", "iliac_vena")

V1: Final = _numbered(f"""
    {_UPPER_ABDOMEN} aorta inferior_vena_cava portal_vein_and_splenic_vein pancreas {_ADRENALS} {_LOBES} {_SPINE}
    esophagus trachea heart_myocardium heart_atrium_left heart_ventricle_left heart_atrium_right heart_ventricle_right
    pulmonary_artery brain {_ILIAC} small_bowel duodenum colon {_RIBS} {_BONES} sacrum face {_MUSCLES} urinary_bladder
""")
"""Value -> name in the label maps of TotalSegmentator 1 (104 classes)."""

V2: Final = _numbered(f"""
    {_UPPER_ABDOMEN} pancreas {_ADRENALS} {_LOBES} esophagus trachea thyroid_gland small_bowel duodenum colon
    urinary_bladder prostate kidney_cyst_left kidney_cyst_right sacrum vertebrae_S1 {_SPINE} heart aorta
    pulmonary_vein brachiocephalic_trunk subclavian_artery_right subclavian_artery_left common_carotid_artery_right
    common_carotid_artery_left brachiocephalic_vein_left brachiocephalic_vein_right atrial_appendage_left
    superior_vena_cava inferior_vena_cava portal_vein_and_splenic_vein {_ILIAC} {_BONES} spinal_cord {_MUSCLES} brain
    skull {_RIBS} sternum costal_cartilages
""")
"""Value -> name in the label maps of TotalSegmentator 2 (117 classes)."""

_OF_BONE: Final = ("vertebrae", "rib", "humerus", "scapula", "clavicula", "femur", "hip", "sacrum", "skull", "sternum")
"""How the names of bones begin."""
COARSE: Final = ("soft_tissue", "bone", "air")
"""Names in the coarse organ map by HU, used where no organ labels exist."""

HOLLOW: Final = frozenset(
    ("esophagus", "stomach", "duodenum", "small_bowel", "colon", "gallbladder", "urinary_bladder", "trachea")
)
"""Organs with a lumen. The released code counts five of them: no duodenum, small bowel or trachea."""

PROTRUDING_SHARE: Final = 0.25
"""Minimum fraction of a lesion's surface outside its organ for it to count as protruding."""

_LESION_WORD: Final = re.compile(
    "(lesion|tumou?r|cyst|nodule|stone|gallstone|cancer|carcinoma|sarcoma|neoplasm|polyp|ha?emorrhage|ha?ematoma"
    "|bleed|gtv)s?|mass(es)?|calcul(us|i)|metastas[ei]s"
)
_SYNONYMS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "kidney": ("renal",),
        "liver": ("hepatic",),
        "lung": ("pulmonary", "pulm"),
        "pancreas": ("pancreatic",),
        "stomach": ("gastric",),
        "spleen": ("splenic",),
        "brain": ("cerebral", "intracranial", "intracerebral"),
        "esophagus": ("esophageal", "oesophagus", "oesophageal", "gullet"),
        "colon": ("colonic", "colorectal", "large bowel", "large intestine"),
        "small_bowel": ("small intestine",),
        "duodenum": ("duodenal",),
        "urinary_bladder": ("bladder", "vesical"),
        "gallbladder": ("gall bladder", "gb"),
        "adrenal_gland": ("adrenal", "suprarenal gland"),
        "thyroid_gland": ("thyroid",),
        "prostate": ("prostatic",),
        "inferior_vena_cava": ("ivc",),
        "superior_vena_cava": ("svc",),
        "soft_tissue": ("soft tissues",),
        "bone": ("bony", "osseous"),
        "iliopsoas": ("psoas", "psoas muscle", "iliopsoas muscle"),
        "gluteus_maximus": ("gluteus maximus muscle",),
        "hip": ("iliac bone", "ilium", "iliac wing", "hip bone"),
        "femur": ("femoral", "femoral head"),
        "humerus": ("humeral", "humeral head"),
        "lung_upper_lobe": ("upper lobe",),
        "lung_lower_lobe": ("lower lobe",),
        "lung_middle_lobe_right": ("middle lobe", "rml"),
        "lung_upper_lobe_right": ("rul",),
        "lung_lower_lobe_right": ("rll",),
        "lung_upper_lobe_left": ("lul",),
        "lung_lower_lobe_left": ("lll",),
    }
)


def _names() -> tuple[str, ...]:
    """All organ names, without duplicates. TotalSegmentator's kidney cysts are lesions and are left out."""
    return tuple(name for name in dict.fromkeys((*V1.values(), *V2.values(), *COARSE)) if not is_lesion(name))


def _plain(text: str) -> str:
    return "_".join(re.findall(r"[a-z0-9]+", text.casefold()))


def is_lesion(label_name: str) -> bool:
    """Whether a label name denotes a lesion ("lesion", "gross tumour volume", "kidney_cyst_left")."""
    return any(_LESION_WORD.fullmatch(word) for word in _plain(label_name).split("_"))


def _groups() -> Mapping[str, tuple[str, ...]]:
    names = _names()
    bases = dict.fromkeys(name.removesuffix("_left") for name in names if name.endswith("_left"))
    groups = {base: tuple(f"{base}_{side}" for side in ("left", "right")) for base in bases if base not in names}
    groups = {base: parts for base, parts in groups.items() if set(parts) <= set(names)}
    lobes = _LOBES.split()
    for side in ("left", "right"):
        groups[f"lung_{side}"] = tuple(lobe for lobe in lobes if lobe.endswith(side))
    groups["lung"] = ("lung_left", "lung_right", *lobes)
    groups["heart"] = tuple(name for name in names if name.startswith("heart_"))
    groups["vertebrae"] = tuple(name for name in names if name.startswith("vertebrae_"))
    groups["rib"] = tuple(_RIBS.split())
    return MappingProxyType(groups)


GROUPS: Final = _groups()
"""Name of a group or pair -> its members; "lung" has the lungs of both sides and all lobes."""

ORGANS: Final = tuple(dict.fromkeys((*_names(), *GROUPS)))
"""All organs and groups that a report can name."""


def _phrases_of(organ: str) -> Iterator[str]:
    yield organ.replace("_", " ")
    base, _, side = organ.rpartition("_")
    if side in ("left", "right") and base.endswith("_lobe") and base.startswith("lung_"):
        lobe = base.removeprefix("lung_").replace("_", " ")
        yield from (f"{side} {lobe}", f"{lobe} of the {side} lung", f"{side} lung {lobe}", f"{side} {lobe} of the lung")
    elif side in ("left", "right"):
        words = (base.replace("_", " "), *_SYNONYMS.get(base, ()))
        yield from (f"{first} {second}" for word in words for first, second in ((side, word), (word, side)))
    elif base == "vertebrae":
        yield from (f"{side} vertebra", f"{side} vertebral body", f"vertebral body {side}", f"vertebra {side}")
    yield from _SYNONYMS.get(organ, ())


ORGAN_PHRASES: Final[Mapping[str, str]] = MappingProxyType(
    {phrase: organ for organ in ORGANS for phrase in _phrases_of(organ)}
)
"""Lower-case phrase -> organ or group: "right kidney", "kidney right" and "right renal" are kidney_right."""
_BY_PLAIN_NAME: Final = {_plain(phrase): organ for phrase, organ in ORGAN_PHRASES.items()}


def find_organ(text: str) -> str | None:
    """The organ or group that a name or phrase means ("Right kidney", "kidney_right", "lungs"), or None."""
    plain = _plain(text)
    return _BY_PLAIN_NAME.get(plain) or _BY_PLAIN_NAME.get(plain.removesuffix("s"))


def is_bone(organ: str) -> bool:
    """Whether an organ or group is of bone."""
    return organ == "bone" or organ.startswith(_OF_BONE)


def members_of(organ: str) -> tuple[str, ...]:
    """An organ and, where it is a group, its members."""
    return (organ, *GROUPS.get(organ, ()))


def labels_of(organ: str, label_names: Mapping[str, int]) -> tuple[int, ...]:
    """Values in a cohort that make up an organ.

    Label names match in any spelling that `find_organ` accepts. A group matches all its members that are present. A
    member never matches a label of the whole group: "kidney" does not tell which part is the left kidney.

    Args:
        organ: organ or group; an unknown name is matched literally.
        label_names: label name -> value, as a cohort declares them.

    Returns:
        Ascending values, without background; () if the organ is absent.
    """
    wanted = {_plain(name) for name in members_of(find_organ(organ) or organ)}
    return tuple(sorted({value for name, value in label_names.items() if value and _named(name) in wanted}))


def _named(label_name: str) -> str:
    return _plain(find_organ(label_name) or label_name)


def is_hollow(organ: str) -> bool:
    """Whether an organ has a lumen; False for unknown organs."""
    return (find_organ(organ) or organ) in HOLLOW


def share_outside(
    lesion: Bool[np.ndarray, "x y z"], organ: Bool[np.ndarray, "x y z"], spacing: tuple[float, float, float]
) -> float:
    """Fraction of a lesion's surface area that is not adjacent to its organ.

    0 if the organ encloses the lesion, 1 if they do not touch. The result does not depend on whether the organ mask
    includes the lesion. Faces on the border of the grid are ignored.

    Args:
        lesion: mask of one lesion.
        organ: mask of its organ, with or without the lesion.
        spacing: edges of a voxel, mm.

    Raises:
        ValueError: the lesion has no surface inside the grid.
    """
    total = outside = 0.0
    for axis in range(3):
        area = float(np.prod(spacing)) / spacing[axis]
        inside, around = np.moveaxis(lesion, axis, 0), np.moveaxis(organ, axis, 0)
        for low, high in ((slice(None, -1), slice(1, None)), (slice(1, None), slice(None, -1))):
            face = inside[low] & ~inside[high]
            total += area * np.count_nonzero(face)
            outside += area * np.count_nonzero(face & ~around[high])
    if total == 0:
        raise ValueError("the lesion is empty or fills the grid")
    return outside / total


def cavity_of(organ: str, lesion_type: str | None = None, outside: float = 0.0) -> Cavity:
    """The cavity option by the rule of LesionDiffusion's released code.

    In a hollow organ, stones are in the lumen and all other lesions in the wall. In a parenchymal organ, a lesion is
    within or protruding. The released code decides this by comparing organ maps with and without the lesion; here it
    is decided by the measured fraction of the surface outside the organ.

    Args:
        organ: organ or group.
        lesion_type: name of the lesion.
        outside: `share_outside` of the lesion.
    """
    if is_hollow(organ):
        stone = "stone" in (lesion_type or "").casefold()
        return "within the lumen of a hollow organ" if stone else "wall thickening"
    return "within the parenchymal organ" if outside < PROTRUDING_SHARE else "protruding from the parenchymal organ"
