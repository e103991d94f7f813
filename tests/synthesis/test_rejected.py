"""What the checks refused: counts while cases are made, pictures, and an early end."""

from contextlib import contextmanager
from dataclasses import replace

import pytest
from PIL import Image

from medsmith.cases.cohort import Cohort
from medsmith.diffusion import Sampling
from medsmith.errors import SynthesisError
from medsmith.synthesis import Timeouts, synthesize
from medsmith.synthesis.checks.result import Limits
from medsmith.synthesis.coordinator import with_hashes
from medsmith.synthesis.rejected import keep_picture, remove_pictures, write_sheet
from medsmith.synthesis.tasks import CaseTask, SynthesisRequest
from narrowing import present
from synthesis_fakes import LOADER, FakeMethod, FakeRequest, InProcessExecutor, in_process, options, write_run

COUNT = 6


def drawn():
    return FakeMethod({}).synthesize(FakeRequest(), 1, Sampling(solver="ddim", steps=1))


def test_attempts_of_all_workers_count_where_no_case_passes(tmp_path):
    run, out = write_run(tmp_path / "run", empty=1.0), tmp_path / "out"
    with pytest.raises(SynthesisError) as caught:
        synthesize(run, out, count=50, workers=2, options=options(limits=Limits(attempts=6)))
    assert "the checks refused the first 6 attempts, mask_not_empty most often (6)" in caught.value.line
    assert "1 of 50 cases failed; 49 were not tried" in caught.value.line
    assert "see rejected/ and docs/provenance.md" in caught.value.line
    assert {path.name for path in out.iterdir()} == {"rejected"}
    synthesize(write_run(tmp_path / "better"), out, count=1, workers=1, options=in_process())


def test_refused_attempts_are_counted_and_pictured(tmp_path):
    counted: list[str] = []

    class Notes:
        @contextmanager
        def task(self, *_arguments):
            yield lambda _steps, note: counted.append(note)

    out = tmp_path / "out"
    run = write_run(tmp_path / "run")
    summary = synthesize(run, out, count=COUNT, workers=1, options=options(), progress=Notes())
    times = summary.attempts - COUNT
    assert counted[-1] == f"({times} images refused: foreground_share {times}, mask_not_empty {times})"
    assert summary.line.endswith(f"; pictures of them: {out / 'rejected' / 'rejected.png'}")
    names = {path.stem for path in (out / "rejected").iterdir()} - {"rejected"}
    expected = {
        f"{case.id}-{attempt}-foreground_share-mask_not_empty"
        for case in Cohort.open(out)
        for attempt in range(present(case.provenance)["attempt"])
    }
    assert names == expected
    with Image.open(out / "rejected" / "rejected.png") as sheet:
        assert sheet.size[0] % 128 == 0


def test_copies_of_training_cases_are_not_pictured(tmp_path):
    recipe = with_hashes(InProcessExecutor(_asked(tmp_path), 1, Timeouts(), lambda: False).resolve())
    task = CaseTask(run="run", loader="", recipe=recipe, paths={}, index=0)
    keep_picture(tmp_path, task, 0, drawn(), ["image_noise", "not_a_copy"])
    copied_map = replace(drawn(), provenance={"label_problems": ["a copy of a training map (number 3)"]})
    keep_picture(tmp_path, task, 0, copied_map, ["labels_legal"])
    keep_picture(tmp_path, task.model_copy(update={"index": 16}), 0, drawn(), ["image_noise"])
    keep_picture(tmp_path, task, 4, drawn(), ["image_noise"])
    assert write_sheet(tmp_path) is None
    keep_picture(tmp_path, task, 3, drawn(), ["image_noise"])
    assert write_sheet(tmp_path) == tmp_path / "rejected" / "rejected.png"


def test_files_of_others_among_the_pictures_stay_and_do_no_harm(tmp_path):
    mine = tmp_path / "rejected" / "mine.png"
    mine.parent.mkdir()
    mine.write_bytes(b"no picture")
    recipe = with_hashes(InProcessExecutor(_asked(tmp_path), 1, Timeouts(), lambda: False).resolve())
    task = CaseTask(run="run", loader="", recipe=recipe, paths={}, index=0)
    keep_picture(tmp_path, task, 0, drawn(), ["image_noise"])
    keep_picture(tmp_path, task, 1, drawn(), ["image_noise"])
    (damaged,) = mine.parent.glob("*-1-image_noise.png")
    damaged.write_bytes(b"half a picture")
    assert write_sheet(tmp_path) == mine.parent / "rejected.png"
    remove_pictures(tmp_path)
    assert [path.name for path in mine.parent.iterdir()] == ["mine.png"]


def _asked(folder):
    return SynthesisRequest(run=str(write_run(folder / "run")), loader=LOADER)
