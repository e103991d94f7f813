"""The anatomy of a request: its shape space, the map that is sampled or followed, and its guidance image."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float32, UInt8
from torch import Tensor

from medsmith.anatomy import AnatomyMap, ShapeSpace
from medsmith.anatomy.context import BODY, LUNG
from medsmith.cases.case import Kind
from medsmith.cases.case_ref import load_cases, open_cohort
from medsmith.cases.label_names import foreground_names
from medsmith.data.fingerprint import Fingerprint
from medsmith.data.scaling import gray_to_model, to_grid
from medsmith.diffusion import derive_seed
from medsmith.errors import RequestError, similar
from medsmith.methods.fit import check_extent, check_gray_scale, check_orientation, of_same_extent
from medsmith.methods.mddpm.matching import Levels
from medsmith.methods.mddpm.request import Anatomy


@final
@dataclass(frozen=True, eq=False)
class RequestedAnatomy:
    """An anatomy of a request with its shape space.

    Attributes:
        request: what is asked for.
        space: the shape space that it names.
    """

    request: Anatomy
    space: ShapeSpace

    @classmethod
    def of(cls, request: Anatomy) -> "RequestedAnatomy":
        """Reads the space; again where its file has changed.

        Raises:
            FileError: it cannot be read.
        """
        try:
            status = request.space.stat()
        except (OSError, ValueError):
            return cls(request, ShapeSpace.load(request.space))  # which says what is wrong with the file
        return cls(request, _loaded(request.space, status.st_mtime_ns, status.st_size))

    @property
    def annotated(self) -> tuple[str, ...]:
        """Names of the classes that are annotated: the request's, else the labels of the space, else its context.

        Raises:
            RequestError: the space has no such class.
        """
        known = foreground_names(self.space.record.region_names)
        unknown = [name for name in self.request.classes if name not in known]
        if unknown:
            cure = similar(unknown[0], known)
            raise RequestError("anatomy.classes", f"no class '{unknown[0]}'", f"there are {', '.join(known)}", cure)
        return self.request.classes or foreground_names(self.space.label_names) or known

    def map_at(self, facts: Fingerprint, size: tuple[int, ...], seed: int) -> tuple[AnatomyMap, str | None]:
        """The map on a grid: that of the case which the request names, with its id, or a sample of the space and None.

        Args:
            facts: of the training cohort.
            size: grid of the network.
            seed: of the sample, or of the choice of a case.

        Raises:
            RequestError: the grid is 3-D, the space finds no legal anatomy, or the case has no known orientation or
                another field of view.
            MedsmithError: the case cannot be read, or does not fit the space.
        """
        if len(size) != 2:
            raise RequestError("anatomy", f"the images are {len(size)}-D", "shape spaces are 2-D", "leave it out")
        seed = derive_seed(seed, "anatomy")
        if self.request.labels is None:
            return self.space.sample(seed, (size[0], size[1]), self.request.spread), None
        key, cohort = "anatomy.labels", self.request.labels.cohort
        declared = set(self.space.context_names) <= set(open_cohort(self.request.labels).label_names)
        needs: tuple[Kind, ...] = ("labels",) if declared else ("image", "labels")
        case = of_same_extent(load_cases(self.request.labels, seed, *needs), facts, key, cohort)
        what = f"case '{case.id}' of {cohort}"
        check_orientation(case.geometry.spacing_known, facts, key, what)
        return self.space.map_of(_on_grid(self.space.regions_of(case), size)), case.id

    def regions(self, found: AnatomyMap) -> dict[str, Bool[np.ndarray, "x y"]]:
        """Name -> region of each class; a class that others lie in, such as the body, is what is left of it."""
        names = self.space.record.region_names
        return {name: found.regions == names[name] for name in foreground_names(names)}

    def image(self, found: AnatomyMap, facts: Fingerprint) -> Float32[Tensor, "c x y"]:
        """The guidance image of a map, in model space.

        Args:
            found: the map.
            facts: of the training cohort.

        Raises:
            RequestError: the space is of other channels, another gray scale, orientation or field of view.
        """
        record, image = self.space.record, self.space.guidance_image(found)
        own = record.channel_names or ("?",) * len(image)  # gray values that a user gave have no names
        if len(own) != len(facts.channel_names) or record.channel_names not in ((), facts.channel_names):
            fact = f"{self.request.space} is of channels {', '.join(own)}"
            raise RequestError("anatomy.space", fact, f"trained on {', '.join(facts.channel_names)}")
        path = str(self.request.space)
        check_orientation(record.extent_mm is not None, facts, "anatomy.space", path)
        check_gray_scale((float(image.min()), float(image.max())), facts, "anatomy.space", path)
        if record.extent_mm is not None:
            check_extent(record.extent_mm, facts, "anatomy.space", path)
        return gray_to_model(image, facts)

    def gray_levels(self, facts: Fingerprint) -> Levels | None:
        """Mean gray values of lung and body in the space, in model space; None where it has no such classes.

        Args:
            facts: of the training cohort.
        """
        gray = self.space.record.gray_values
        pairs = list(zip(gray.get(LUNG, ()), gray.get(BODY, ()), strict=False))
        if len(pairs) != len(facts.channel_names):
            return None
        return gray_to_model(np.array(pairs, np.float32), facts)


@lru_cache(maxsize=4)
def _loaded(path: Path, _changed: int, _bytes: int) -> ShapeSpace:
    return ShapeSpace.load(path)


def _on_grid(regions: UInt8[np.ndarray, "x y"], size: tuple[int, ...]) -> UInt8[np.ndarray, "n m"]:
    """Each pixel takes the value with the largest share, as ``labels_to_model`` has it."""
    values = np.unique(regions)
    shares = [to_grid(torch.from_numpy((regions == value).astype(np.float32))[None], size)[0] for value in values]
    return np.asarray(values[torch.stack(shares).argmax(0).numpy()], np.uint8)
