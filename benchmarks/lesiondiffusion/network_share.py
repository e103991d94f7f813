"""What LINet alone makes of the words: paintings of one mask that differ in one attribute, without corrections.

    python benchmarks/lesiondiffusion/network_share.py RUN TEMPLATES OUT [PAIRS]

The mask of each pair is that of one lesion in a solid organ, drawn by the whole method; lesions of the lung have words
of density of their own. LINet paints it once for each word, from one
seed and full noise; its output is measured as it is: no level, texture, noise or edge is changed after it. RUN may be
"lesiondiffusion", the shipped weights. OUT keeps every pair; the same command goes on. network-share.json beside this
file has the result.
"""

import math
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Bool, Float32

from medsmith.cases.canonical import canonical_geometry, canonical_view
from medsmith.cases.case import Case
from medsmith.cases.case_ref import load_case
from medsmith.diffusion import derive_seed
from medsmith.errors import MedsmithError, RequestError
from medsmith.evaluation.adherence.pairs import most_draws
from medsmith.evaluation.adherence.statistics import AttributeResult, corrected
from medsmith.formats.atomic import write_json
from medsmith.formats.json_file import read_json
from medsmith.insertion.box import Box
from medsmith.insertion.ct_values import organ_level
from medsmith.insertion.frame import AIR_HU, Frame, crop_geometry
from medsmith.machine import facts
from medsmith.measurement.assessment import assess_lesion
from medsmith.measurement.describe import LabeledScan
from medsmith.methods.attributes import Draw
from medsmith.methods.lesiondiffusion import LesionDiffusion
from medsmith.methods.lesiondiffusion.attributes import lesion_attributes
from medsmith.methods.lesiondiffusion.request import LesionDiffusionRequest
from medsmith.progress import Advance, ConsoleProgress
from medsmith.reports.lesion_label import SYNTHETIC
from medsmith.reports.organs import labels_of, members_of
from medsmith.reports.schema import LesionReport
from medsmith.runs.checkpoints import load_method

HERE = Path(__file__).parent
PAIRS = 30
Numbers = Mapping[str, float]


def _number(name: str) -> Callable[[Numbers], float]:
    return lambda found: found[name]


@final
@dataclass(frozen=True)
class Contrast:
    """Two reports that differ in one attribute.

    Attributes:
        less: what the report says whose painting should measure less.
        more: what the other one says.
        measure: the property, of the measured numbers.
        measured: its name.
    """

    less: Mapping[str, Any]
    more: Mapping[str, Any]
    measure: Callable[[Numbers], float]
    measured: str

    def property_of(self, canvas: "Canvas", method: LesionDiffusion, report: LesionReport, seed: int) -> float | None:
        """The property of one painting; None where it does not show."""
        try:
            found = self.measure(canvas.measured(method, report, derive_seed(seed, "paint")))
        except KeyError:
            return None
        return found if math.isfinite(found) else None


HYPODENSE: Mapping[str, Any] = {"density": "hypodense"}
UNEVEN: Mapping[str, Any] = {**HYPODENSE, "density_variation": "heterogeneous"}
CONTRASTS: Mapping[str, Contrast] = {
    "density": Contrast(HYPODENSE, {"density": "hyperdense"}, _number("contrast_hu"), "contrast to the organ, HU"),
    "CT value": Contrast({"ct_value_hu": 30.0}, {"ct_value_hu": 100.0}, _number("mean_hu"), "mean, HU"),
    "density variation": Contrast(
        {**HYPODENSE, "density_variation": "homogeneous"}, UNEVEN, _number("heterogeneity_hu"), "heterogeneity, HU"
    ),
    "surface": Contrast(
        {**HYPODENSE, "surface": "well-defined margin"},
        {**HYPODENSE, "surface": "ill-defined margin"},
        _number("margin_width_mm"),
        "width of the margin, mm",
    ),
    "ring enhancement": Contrast(
        UNEVEN, {**UNEVEN, "density": "ring enhancement"}, _number("rim_minus_core_hu"), "rim less core, HU"
    ),
    # Heterogeneous hypodense lesions have parts above organs without contrast agent as well: the texture is left open.
    "mixed density": Contrast(
        HYPODENSE,
        {"density": "mixed-density"},
        lambda found: min(found["surroundings_hu"] - found["low_hu"], found["high_hu"] - found["surroundings_hu"]),
        "lesser of both tails beyond the organ, HU",
    ),
    "areas of decreased density": Contrast(
        HYPODENSE,
        {**HYPODENSE, "features": ("presence of decreased density areas",)},
        lambda found: found["mean_hu"] - found["low_hu"],
        "mean less 5th percentile, HU",
    ),
    "areas of increased density": Contrast(
        HYPODENSE,
        {**HYPODENSE, "features": ("presence of increased density areas",)},
        lambda found: found["high_hu"] - found["mean_hu"],
        "95th percentile less mean, HU",
    ),
}


@final
@dataclass(frozen=True, eq=False)
class Canvas:
    """A scan without its lesion, and the mask to paint, in the region of LINet's cube.

    Attributes:
        image: the whole scan, HU.
        mask: of the lesion.
        frame: the cube.
        scan: image and labels of the region.
        level: of the organ around the mask, HU.
    """

    image: Float32[np.ndarray, "x y z"]
    mask: Bool[np.ndarray, "u v w"]
    frame: Frame
    scan: LabeledScan
    level: float | None

    @classmethod
    def of(cls, method: LesionDiffusion, request: LesionDiffusionRequest, made: Case, box: Box) -> "Canvas":
        """The template of a case that was made, with the mask of its lesion."""
        assert request.templates is not None
        template = load_case(request.templates, 0)
        image = canonical_view(template.require_image()[0], template.geometry)
        labels = canonical_view(template.require_labels(), template.geometry)
        geometry = canonical_geometry(made.geometry)
        frame = method.config.paint.frame.about(box, geometry)
        lesion = canonical_view(made.require_labels(), made.geometry)[frame.region] == made.label_names[SYNTHETIC]
        whole = LabeledScan(image, labels, template.label_names, geometry)
        scan = replace(
            whole,
            image=image[frame.region],
            labels=labels[frame.region],
            geometry=crop_geometry(geometry, frame.region),
            of_whole_scan=whole.enhancement,
        )
        organ = np.isin(scan.labels, labels_of(request.lesions[0].organ or "", scan.label_names))
        return cls(image, lesion, frame, scan, organ_level(image[frame.region], lesion, organ, geometry.spacing))

    def measured(self, method: LesionDiffusion, report: LesionReport, seed: int) -> Numbers:
        """The measures of the mask as LINet paints it."""
        sampler = method._generator(LesionDiffusionRequest(), method.config.sampling, None).sample_intensities
        cube = self.frame.resample_in(self.image, AIR_HU)
        share = self.frame.on(self.frame.region).resample_in(self.mask.astype(np.float32), 0.0)
        painted = sampler(cube, share, self.frame, report, self.level, seed)
        after = replace(self.scan, image=self.frame.resample_out(painted))
        return assess_lesion(after, self.mask, report).measured.measured


def main(run: str, templates: Path, out: Path, pairs: int) -> None:
    """Every contrast on the same masks."""
    torch.set_num_threads(1)
    method = load_method(run)
    assert isinstance(method, LesionDiffusion)
    method.linet.config = method.linet.config.model_copy(update={"homogeneous": 1.0})
    with ConsoleProgress().task("masks", pairs) as advance:
        rows = list(drawn(method, templates, out, pairs, advance))
    results = []
    for name in CONTRASTS:
        values = np.array([row[name] for row in rows], np.float64)
        results.append(AttributeResult.of(values[np.isfinite(values).all(axis=1)]))
    attributes = {
        name: {**found.as_json(), "measured": contrast.measured}
        for (name, contrast), found in zip(CONTRASTS.items(), corrected(results), strict=True)
    }
    for name, found in attributes.items():
        print(name, found["verdict"], found["auc"], found["means"], flush=True)
    write_json(
        HERE / "network-share.json", {"attributes": attributes, "facts": {**facts(), "weights": method.weights_hash}}
    )


def drawn(
    method: LesionDiffusion, templates: Path, out: Path, pairs: int, advance: Advance
) -> Iterator[Mapping[str, list[float | None]]]:
    """The properties of the paintings of one mask after the other, kept in OUT; masks without a place are left out.

    Raises:
        RequestError: too many draws had no place.
    """
    made = number = 0
    while made < pairs:
        if number == most_draws(pairs):
            raise RequestError("templates", f"{made} of {number} draws had a place", f"{pairs} are needed")
        kept = out / f"{number:03d}.json"
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_json(kept, one_mask(method, templates, number))
        row = read_json(kept)
        number += 1
        if row:
            made += 1
            advance(1, "")
            yield row


def one_mask(method: LesionDiffusion, templates: Path, number: int) -> Mapping[str, list[float | None]]:
    """The properties of all paintings of one mask; empty where the draw has no place, or one in the lung."""
    size = next(attribute for attribute in lesion_attributes() if attribute.name == "size")
    try:
        request = size.requests(Draw(number, templates=templates))[-1]
        if request.lesions[0].organ in members_of("lung"):
            return {}
        case = method.synthesize(request, derive_seed(number, "mask"), method.config.sampling)
    except RequestError:
        return {}
    assert case.provenance is not None
    (record,) = case.provenance["lesions"]
    if "measured" not in record:
        return {}
    canvas = Canvas.of(method, request, case, Box(*map(tuple, record["box"])))
    asked = request.lesions[0]
    common = {
        "organ": asked.organ,
        "size_mm": asked.size_mm,
        "shape": asked.shape,
        "enhancement": canvas.scan.enhancement,
    }
    return {
        name: [
            contrast.property_of(canvas, method, LesionReport(**{**common, **words}), number)
            for words in (contrast.less, contrast.more)
        ]
        for name, contrast in CONTRASTS.items()
    }


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else PAIRS)
    except MedsmithError as error:
        sys.exit(error.line)
