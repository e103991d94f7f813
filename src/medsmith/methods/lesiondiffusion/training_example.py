"""Training examples from annotated scans: one cube around the largest lesion for each network."""

import numpy as np
import torch

from medsmith.cases.canonical import canonical_view
from medsmith.cases.case import Case
from medsmith.data.batches import Example
from medsmith.insertion.annotated_lesion import largest_lesion
from medsmith.insertion.context import context_of
from medsmith.insertion.ct_values import organ_level
from medsmith.insertion.frame import AIR_HU
from medsmith.insertion.regions import SOFT_TISSUE
from medsmith.methods.lesiondiffusion.config import LesionDiffusionConfig
from medsmith.methods.lesiondiffusion.linet_mask import linet_mask
from medsmith.methods.lesiondiffusion.linet_origin import about_origin, origin_hu, report_about
from medsmith.reports.organs import labels_of
from medsmith.text.embeddings import PhraseTable


def training_example(case: Case, config: LesionDiffusionConfig, tables: tuple[PhraseTable, PhraseTable]) -> Example:
    """The training example of LMNet, VQGAN and LINet from one case.

    Tensors: "mask", "organ", "other_organs", "box" in LMNet's cube and "mask_words" (attribute, d). A case with an
    image also has "image" (model space about the origin), "lesion" (share inside), "region" (1 where inpainted) in
    LINet's cube, "origin" (HU) and "image_words".

    Args:
        case: with a lesion.
        config: of the method.
        tables: encoded vocabulary of LMNet and of LINet.
    """
    lesion = largest_lesion(case)
    scan = lesion.geometry
    mask_frame, image_frame = (each.frame.about(lesion.box, scan) for each in (config.mask, config.paint))
    labels = canonical_view(case.require_labels(), case.geometry)
    names, organ = case.label_names, lesion.report.organ
    context = context_of(labels, names, mask_frame, lesion.box, organ, config.mask.organs)
    example = {
        "mask": torch.from_numpy(mask_frame.resample_in(lesion.mask, 0.0) * 2 - 1)[None].half(),
        "organ": torch.from_numpy(context.target),
        "other_organs": torch.from_numpy(context.others).half(),
        "box": torch.from_numpy(context.box),
        "mask_words": torch.from_numpy(tables[0].tokens(lesion.report, "mask").vectors),
    }
    if case.image is None:
        return example
    stored = canonical_view(case.image[0], case.geometry)
    values = labels_of(organ or SOFT_TISSUE, names)
    around = image_frame.region
    level = organ_level(stored[around], lesion.mask[around], np.isin(labels[around], values), scan.spacing)
    origin = origin_hu(level, config.paint)
    image = about_origin(image_frame.resample_in(stored, AIR_HU), origin)
    covered = image_frame.resample_in(lesion.mask, 0.0)
    share, region = linet_mask(covered, image_frame.spacing_mm, lesion.report, config.paint)
    return example | {
        "image": torch.from_numpy(image)[None].half(),
        "origin": torch.tensor([origin]),
        "lesion": torch.from_numpy(share)[None].half(),
        "region": torch.from_numpy(region.astype(np.uint8))[None],
        "image_words": torch.from_numpy(tables[1].tokens(report_about(lesion.report, origin), "image").vectors),
    }
