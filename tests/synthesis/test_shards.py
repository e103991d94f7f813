"""Parts of a synthesis, made apart and joined to what a single call makes."""

import json
from collections import Counter

import pytest

from medsmith.cases.cohort import Cohort
from medsmith.errors import FileError, RequestError, SynthesisError
from medsmith.formats.atomic import sha256_of
from medsmith.synthesis import Shard, SynthesisOptions, join_shards, synthesize
from medsmith.synthesis.shards import are_shards
from medsmith.synthesis.tasks import Recipe
from synthesis_fakes import contents, in_process, write_run

COUNT = 7


def options(shard=None):
    return in_process(shard=shard)


def make(folder, name, shard=None, count=COUNT, run="run"):
    synthesize(folder / run, folder / name, count=count, options=options(shard and Shard.parse(shard)))
    return folder / name


@pytest.fixture
def folder(tmp_path):
    write_run(tmp_path / "run")
    return tmp_path


@pytest.fixture
def shards(folder):
    return [make(folder, f"part-{number}", f"{number}/3") for number in (1, 2, 3)]


def cases_of(out):
    """Every file of a cohort but pictures of what was refused."""
    return {name: content for name, content in contents(out).items() if not name.startswith("rejected")}


@pytest.mark.parametrize("of", [1, 2, 4, 7, 8, 9, 16])
def test_the_cases_of_a_shard_have_all_rows_of_a_batch(of):
    recipe = Recipe.model_construct(batch=8)
    counts = Counter(map(recipe.row, Shard(1, of).indices(160 * of)))
    assert sorted(counts) == list(range(8))
    assert max(counts.values()) <= 2 * 160 / 8


def test_consecutive_cases_have_different_rows():
    recipe = Recipe.model_construct(batch=8)
    assert all({*map(recipe.row, range(first, first + 8))} == {*range(8)} for first in range(0, 800, 8))


def test_joined_shards_are_the_bytes_of_a_single_call(folder, shards):
    whole = make(folder, "whole")
    assert [len(Cohort.open(shard)) for shard in shards] == [3, 2, 2]
    assert are_shards(shards)
    assert not are_shards([*shards, whole])
    joined = join_shards([shards[2], shards[0], shards[1]], folder / "joined")
    assert len(joined) == COUNT
    assert cases_of(folder / "joined") == cases_of(whole)


def test_a_killed_join_continues(folder, shards, monkeypatch):
    from medsmith.synthesis import shards as module

    calls = []

    def dying(source, out, id):
        calls.append(id)
        if len(calls) > 4:
            raise KeyboardInterrupt
        copy(source, out, id)

    copy = module._copy_files
    monkeypatch.setattr(module, "_BATCH", 2)
    monkeypatch.setattr(module, "_copy_files", dying)
    with pytest.raises(KeyboardInterrupt):
        join_shards(shards, folder / "joined")
    assert calls
    monkeypatch.undo()
    join_shards(shards, folder / "joined")
    assert cases_of(folder / "joined") == cases_of(make(folder, "whole"))


def test_a_shard_that_lacks_cases_is_refused(folder, shards):
    next((shards[1] / "provenance").glob("*.json")).unlink()
    with pytest.raises(SynthesisError, match=r"lacks 1 case, such as fake_0000.; whole shards; run its command again"):
        join_shards(shards, folder / "joined")
    assert not (folder / "joined").exists()


def test_a_missing_and_a_repeated_shard_are_refused(folder, shards):
    with pytest.raises(SynthesisError, match="shard 2/3 is not named; all 3 are joined; add it"):
        join_shards([shards[0], shards[2]], folder / "joined")
    twin = make(folder, "twin", "1/3")
    with pytest.raises(SynthesisError, match=r"is shard 1/3 like .*part-1; each shard once; leave one out"):
        join_shards([*shards, twin], folder / "joined")


def test_a_shard_of_another_synthesis_is_refused(folder, shards):
    write_run(folder / "other-run", weights=5)
    other = make(folder, "other", "3/3", run="other-run")
    with pytest.raises(SynthesisError, match=r"is of another synthesis than .*part-1: weights_hash is"):
        join_shards([*shards[:2], other], folder / "joined")


def test_a_damaged_file_is_refused(folder, shards):
    path = next((shards[2] / "labelsTr").iterdir())
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FileError, match="is not the file that its case's provenance names"):
        join_shards(shards, folder / "joined")


@pytest.mark.parametrize("name", ["../evil", "/etc/hostname", "dataset.json", "imagesTr/fake_00001_0000.png"])
def test_a_provenance_that_names_files_of_others_is_refused(folder, shards, name):
    path = shards[0] / "provenance" / "fake_00000.json"
    record = json.loads(path.read_text())
    (folder / "evil").write_text("evil")
    there = (shards[0] / name).resolve()
    record["files"][name] = sha256_of(there) if there.exists() else ""
    path.write_text(json.dumps(record))
    out = folder / "deeper" / "joined"
    with pytest.raises(FileError, match=f"fake_00000.json: names '{name}'; the images, label map and report of its"):
        join_shards(shards, out)
    assert not (out.parent / "evil").exists()
    path.write_text(json.dumps(record | {"files": ["x"]}))
    with pytest.raises(FileError, match="an object of file names"):
        join_shards(shards, out)


def test_a_folder_has_one_shard(folder, shards):
    with pytest.raises(SynthesisError, match="shard is 1/3 there and 2/3 here; one folder has one shard"):
        make(folder, "part-1", "2/3")
    assert shards


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/2", "1/2/3"])
def test_wrong_shards_are_refused(text):
    with pytest.raises(RequestError, match="--shard: "):
        Shard.parse(text)


def test_more_shards_than_cases_are_refused(folder):
    with pytest.raises(RequestError, match="--shard: 9/9 of 7 cases; at least one case each; use fewer shards"):
        make(folder, "out", "9/9")
    assert SynthesisOptions().shard is None
