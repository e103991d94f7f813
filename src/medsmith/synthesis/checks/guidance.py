"""Check of images that guidance images steered."""

from collections.abc import Mapping

from medsmith.cases.case import Case
from medsmith.synthesis.checks.result import CheckResult, Limits
from medsmith.synthesis.checks.training import TrainingFacts

_CONTRAST = "contrast "


def annotation_followed(case: Case, training: TrainingFacts, limits: Limits) -> CheckResult:  # noqa: ARG001
    """Number of regions and lesions of the annotation that the image does not follow, as measured; allowed: none.

    A region needs the Dice ``limits.region_dice``, a lesion ``limits.lesion_contrast`` of the contrast that it has in
    its guidance image, of the same sign.
    """
    found: Mapping[str, float] = (case.provenance or {}).get("adherence", {})
    regions = [dice >= limits.region_dice for name, dice in found.items() if name.startswith("Dice ")]
    wanted = limits.lesion_contrast > 0
    lesions = [name.removeprefix(_CONTRAST) for name in found if wanted and name.startswith(_CONTRAST)]
    contrasts = [(found[f"{_CONTRAST}{key}"], found.get(f"guide contrast {key}")) for key in lesions]
    shown = [own * guide >= limits.lesion_contrast * guide**2 for own, guide in contrasts if guide is not None]
    followed = [*regions, *shown]
    if not followed:
        return CheckResult.skipped("annotation_followed", "no region or lesion of the annotation could be measured")
    return CheckResult.of("annotation_followed", float(followed.count(False)), high=0)
