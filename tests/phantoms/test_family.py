"""A family makes cases; the frame makes cohorts of them that begin alike, resume, and refuse what is not theirs."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, final

import numpy as np
import pytest

from medsmith.cases.case import Case
from medsmith.cases.cohort import Cohort
from medsmith.errors import CohortError, MedsmithError, RequestError
from medsmith.geometry import Geometry
from medsmith.phantoms.families import FAMILIES, find_family
from medsmith.phantoms.family import PhantomFamily, case_id, case_seed
from medsmith.phantoms.writing import write_phantom
from medsmith.progress import Advance, SecondsLeft, unlimited

BREAST = FAMILIES["breast"]


@final
class Noise(PhantomFamily):
    """The smallest 3-D family with two channels."""

    name: ClassVar[str] = "noise"
    revision: ClassVar[int] = 1
    channel_names: ClassVar[tuple[str, ...]] = ("T1", "T2")
    label_names: ClassVar[dict[str, int]] = {"background": 0, "organ": 1, "lesion": 2}
    file_ending: ClassVar[str] = ".nii.gz"
    sizes: ClassVar[tuple[int, int]] = (4, 16)

    def make(self, seed: int, id: str, size: int) -> Case:
        rng = np.random.default_rng(seed)
        shape = (size, size, 8)
        return Case(
            id=id,
            image=rng.normal(size=(2, *shape)).astype(np.float32),
            labels=rng.integers(0, 3, shape, dtype=np.uint8),
            geometry=Geometry(shape, np.diag([-1.5, -1.5, 3.0, 1.0])),
            channel_names=self.channel_names,
            label_names=self.label_names,
            provenance=self.provenance(seed, size),
        )


def bytes_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_first_cases_of_a_longer_cohort_are_the_shorter_one(tmp_path: Path) -> None:
    write_phantom(BREAST, tmp_path / "short", 2, seed=5, size=32)
    write_phantom(BREAST, tmp_path / "long", 4, seed=5, size=32)
    short, long = bytes_of(tmp_path / "short"), bytes_of(tmp_path / "long")
    del short["dataset.json"]
    assert len(short) == 8
    assert {name: long[name] for name in short} == short


def test_another_seed_is_another_cohort(tmp_path: Path) -> None:
    first = write_phantom(BREAST, tmp_path / "a", 2, seed=0, size=32)
    other = write_phantom(BREAST, tmp_path / "b", 2, seed=1, size=32)
    assert not np.array_equal(first["breast-00000"].require_image(), other["breast-00000"].require_image())


def test_a_cohort_says_what_it_is(tmp_path: Path) -> None:
    cohort = write_phantom(BREAST, tmp_path / "out", 3, seed=0, size=32)
    assert cohort.ids == ("breast-00000", "breast-00001", "breast-00002")
    case = cohort["breast-00001"]
    assert case.provenance is not None
    assert BREAST.provenance(case_seed("breast", 0, 1), 32).items() <= case.provenance.items()
    assert case.provenance["notice"] == "Synthetic research data, not for diagnosis"
    assert case.report is not None
    assert case.report["lesions"][0]["measured"]["pixels"] == int((case.require_labels() == 1).sum())


def test_a_case_is_made_again_from_its_provenance(tmp_path: Path) -> None:
    cohort = write_phantom(BREAST, tmp_path / "out", 2, seed=3, size=48)
    case = cohort["breast-00001"]
    assert case.provenance is not None
    again = BREAST.make(case.provenance["seed"], case.id, case.provenance["size"])
    np.testing.assert_array_equal(again.image, case.image)
    np.testing.assert_array_equal(again.labels, case.labels)
    assert again.report == case.report


def test_a_stopped_cohort_is_continued_to_the_same_bytes(tmp_path: Path) -> None:
    whole = write_phantom(BREAST, tmp_path / "whole", 4, seed=2, size=32)
    write_phantom(BREAST, tmp_path / "stopped", 2, seed=2, size=32)
    untouched = tmp_path / "stopped" / "imagesTr" / "breast-00000_0000.png"
    before = untouched.stat().st_mtime_ns
    continued = write_phantom(BREAST, tmp_path / "stopped", 4, seed=2, size=32)
    assert continued.content_hash() == whole.content_hash()
    assert untouched.stat().st_mtime_ns == before


def test_a_writer_that_failed_leaves_a_folder_to_continue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = write_phantom(BREAST, tmp_path / "whole", 3, seed=2, size=32)
    make = type(BREAST).make

    def fail_on_last(self: PhantomFamily, seed: int, id: str, size: int) -> Case:
        if id == "breast-00002":
            raise KeyboardInterrupt
        return make(self, seed, id, size)

    with monkeypatch.context() as patch:
        patch.setattr(type(BREAST), "make", fail_on_last)
        with pytest.raises(KeyboardInterrupt):
            write_phantom(BREAST, tmp_path / "stopped", 3, seed=2, size=32)
    continued = write_phantom(BREAST, tmp_path / "stopped", 3, seed=2, size=32)
    assert continued.content_hash() == whole.content_hash()


@pytest.mark.parametrize(
    ("count", "seed", "size", "message"),
    [
        (2, 1, 32, r"breast-00000.json: was made with another seed; choose a new folder, or the options"),
        (2, 0, 40, r"breast-00000.json: was made with another size; choose a new folder"),
        (1, 0, 32, r"out: holds 1 other cases, breast-00001 first; 1 breast phantoms are requested"),
    ],
)
def test_a_folder_of_another_request_is_left_alone(
    tmp_path: Path, count: int, seed: int, size: int, message: str
) -> None:
    write_phantom(BREAST, tmp_path / "out", 2, seed=0, size=32)
    before = bytes_of(tmp_path / "out")
    with pytest.raises(CohortError, match=message):
        write_phantom(BREAST, tmp_path / "out", count, seed=seed, size=size)
    assert bytes_of(tmp_path / "out") == before


def test_a_second_call_at_once_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    refused: list[str] = []

    class CallsAgain:
        @contextmanager
        def task(self, _name: str, _total: int, _done: int = 0, _limit: SecondsLeft = unlimited) -> Iterator[Advance]:
            with pytest.raises(CohortError) as refusal:
                write_phantom(BREAST, tmp_path / "out", 3, 2, 32)
            refused.append(refusal.value.line)
            yield lambda _steps, _note: None

    cohort = write_phantom(BREAST, tmp_path / "out", 2, 1, 32, CallsAgain())
    assert refused == [f"{tmp_path / 'out'}: another process is writing here; one at a time; wait for it"]
    assert cohort.ids == ("breast-00000", "breast-00001")


def test_a_folder_of_another_family_is_left_alone(tmp_path: Path) -> None:
    write_phantom(Noise(), tmp_path / "out", 1, seed=0, size=8)
    before = bytes_of(tmp_path / "out")
    with pytest.raises(CohortError):
        write_phantom(BREAST, tmp_path / "out", 1, seed=0, size=32)
    assert bytes_of(tmp_path / "out") == before


@pytest.mark.parametrize(
    ("count", "seed", "size", "message"),
    [
        (0, 0, 64, "phantom breast: count 0; a cohort has 1 to 10000000 cases"),
        (-1, 0, 64, "phantom breast: count -1; a cohort has 1 to 10000000 cases"),
        (1, -1, 64, "phantom breast: seed -1; seeds are 0 or more; choose --seed 0 or more"),
        (1, 0, 31, "phantom breast: size 31; sizes go from 32 to 256; change --size"),
        (1, 0, 257, "phantom breast: size 257; sizes go from 32 to 256; change --size"),
    ],
)
def test_an_impossible_request_is_one_line_and_writes_nothing(
    tmp_path: Path, count: int, seed: int, size: int, message: str
) -> None:
    with pytest.raises(RequestError, match=f"^{re.escape(message)}$") as caught:
        write_phantom(BREAST, tmp_path / "out", count, seed=seed, size=size)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_an_unknown_family_is_refused_by_name() -> None:
    with pytest.raises(
        MedsmithError,
        match=r"^phantom knee: no such family; there are breast, chest, chest-healthy, ct, ct-head, "
        r"ct-head-healthy, ct-healthy, ct-varied, limb-ct, limb-mr, liver-mr$",
    ):
        find_family("knee")
    assert find_family("breast") is BREAST


def test_the_frame_takes_volumes_with_several_channels(tmp_path: Path) -> None:
    write_phantom(Noise(), tmp_path / "out", 2, seed=0, size=9)
    case = Cohort.open(tmp_path / "out").stored("noise-00001")
    made = Noise().make(case_seed("noise", 0, 1), "noise-00001", 9)
    np.testing.assert_array_equal(case.image, made.image)
    assert case.geometry.shape == (9, 9, 8)
    assert case.geometry.spacing == pytest.approx((1.5, 1.5, 3.0))


def test_case_seeds_are_fixed_distinct_and_exact_in_json() -> None:
    assert case_seed("breast", 0, 0) == 6476134047590332
    seeds = {case_seed("breast", seed, index) for seed in range(20) for index in range(200)}
    assert len(seeds) == 4000
    assert max(seeds) < 2**53
    assert case_seed("breast", 1, 11) != case_seed("breast", 11, 1)
    assert case_seed("breast", 0, 0) != case_seed("chest", 0, 0)


def test_case_ids_sort_in_order() -> None:
    names = [case_id("breast", index) for index in range(0, 20000, 997)]
    assert names == sorted(names)
