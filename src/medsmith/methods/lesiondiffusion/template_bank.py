"""The template bank: cubes of the training cohort, used for previews and for requests without templates."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from medsmith.cases.case import Case
from medsmith.data.batches import Example
from medsmith.data.fingerprint import Fingerprint
from medsmith.data.hounsfield_scale import hu_to_model, model_to_hu
from medsmith.diffusion import derive_seed
from medsmith.errors import RequestError
from medsmith.geometry import Geometry
from medsmith.insertion.organ_map import OrganMap
from medsmith.insertion.regions import SOFT_TISSUE
from medsmith.reports.schema import LesionReport
from medsmith.reports.wording import organ_words

BANK_SIZE = 8
LARGEST_SHARE = 0.4
"""Largest edge of a lesion as a share of the cube's edge."""
_CUBE = "a scan is a cube of the training cohort, in which no organ is known"
_CURE = "name the cohort of the scans: --templates"


def template_bank_of(examples: Sequence[Example]) -> Mapping[str, Tensor]:
    """Images and lesions of evenly spaced examples, in LINet's cube."""
    chosen = [examples[place * len(examples) // BANK_SIZE] for place in range(min(BANK_SIZE, len(examples)))]
    if not chosen:
        return {}
    return {
        "kept_images": torch.stack([_about_water(example).half() for example in chosen]),
        "kept_lesions": torch.stack([(example["lesion"][0] > 0.5).to(torch.uint8) for example in chosen]),
    }


def _about_water(example: Example) -> Float[Tensor, "s s s"]:
    """The image of an example in model space as it is stored, with water at 0."""
    return example["image"][0].float() + hu_to_model(example["origin"].float())


def template_from_bank(memory: Mapping[str, Tensor], fingerprint: Fingerprint, seed: int) -> tuple[Case, OrganMap]:
    """One of the bank's cubes as a scan of 1 mm voxels, labeled as soft tissue throughout, its own lesion included.

    Raises:
        RequestError: the run has no template bank, since it was trained on masks alone.
    """
    if "kept_images" not in memory:
        raise RequestError("request", "no templates", "the run keeps no scans of its own", "name a cohort as templates")
    images = memory["kept_images"].float().numpy()
    image = np.rint(model_to_hu(images[derive_seed(seed, "keepsake") % len(images)]))
    geometry = Geometry(image.shape, np.eye(4))
    case = Case(
        id="template-bank",
        image=np.ascontiguousarray(image[None], np.float32),
        labels=np.zeros(image.shape, np.uint8),
        geometry=geometry,
        channel_names=fingerprint.channel_names,
        label_names=fingerprint.label_names,
        stored=np.dtype(fingerprint.stored),
    )
    return case, OrganMap(np.ones(image.shape, np.uint8), {SOFT_TISSUE: 1}, geometry, "soft tissue throughout")


def check_without_templates(reports: Iterable[LesionReport], edge_mm: float) -> None:
    """Refuses lesions that a cube of the bank cannot hold as asked; what a report leaves open is adapted to it.

    Args:
        reports: that are asked for.
        edge_mm: of the cube.

    Raises:
        RequestError: a report names an organ or a place in it, or a lesion above ``LARGEST_SHARE`` of the edge.
    """
    for report in reports:
        organ = report.organ if report.organ != SOFT_TISSUE else None
        longest = max(report.size_mm or (0.0,))
        if organ or report.cavity:
            found = f"a lesion in the {organ_words(organ)}" if organ else f"a lesion {report.cavity}"
            raise RequestError("templates", f"none for {found}", f"without them {_CUBE}", _CURE)
        if longest > LARGEST_SHARE * edge_mm:
            limit = f"without them {_CUBE} of {edge_mm:g} mm, for lesions up to {LARGEST_SHARE * edge_mm:g} mm"
            raise RequestError("templates", f"none for a lesion of {longest:g} mm", limit, _CURE)


def fit_to_crop(report: LesionReport, edge_mm: float) -> LesionReport:
    """The report adapted to a cube: without organ, and of at most ``LARGEST_SHARE`` of its edge."""
    longest = max(report.size_mm or (edge_mm,))
    x, y, z = (edge * min(1.0, LARGEST_SHARE * edge_mm / longest) for edge in report.size_mm or (edge_mm,) * 3)
    return report.model_copy(update={"organ": None, "cavity": None, "size_mm": (x, y, z)})
