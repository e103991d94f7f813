"""A run folder of anybody is validated as any other input: one line, and no memory for what its files cannot hold."""

import json
import resource

import pytest
import torch

from medsmith.errors import FileError, MedsmithError, RunError
from medsmith.formats.atomic import sha256_of, write_json
from medsmith.networks.limit import TooManyNumbersError, limited_numbers
from medsmith.runs.checkpoints import FILES, load_method, pack, unpack
from medsmith.runs.folder import Metrics


def promise_again(run):
    write_json(run / "manifest.json", {name: sha256_of(run / name) for name in FILES})


def changed(record, key, value):
    *above, last = key.split(".")
    place = record
    for part in above:
        place = place[part]
    place[last] = value
    return json.dumps(record)


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("fingerprint.dimensions", 7, "fingerprint.dimensions = 7; must be less than or equal to 3"),
        ("fingerprint.stored", "float7", "fingerprint.stored: must be a number format"),
        ("fingerprint.stored", "object", "fingerprint.stored: must be a number format"),
        ("fingerprint.shape", [10**5, 10**5, 1], "fingerprint.shape.0 = 100000"),
        ("fingerprint.spacing", [0, 1, 1], "fingerprint.spacing.0 = 0; must be greater than 0"),
        ("fingerprint.file_ending", "/../../x", "fingerprint.file_ending: must be one of"),
        ("fingerprint.label_names", {"background": 0, "x": 10**9}, "fingerprint.label_names.x = 1000000000"),
        ("config.size", [10**5, 10**5], "config: size.0 = 100000"),
        ("config.size", [4096, 4096, 4096], "config: size: must have 268435456 voxels at most"),
        ("config.network.channels", [4096], "describes networks of more numbers than"),
        ("config.network.channels", [10**12], "config: network.channels.0 = 1000000000000; must be less than or equal"),
        ("config.network.residual_blocks", 10**9, "config: network.residual_blocks = 1000000000; must be less than"),
        ("config.network.groups", 3, "4 is not a multiple of groups = 3"),
        (
            "config.network.space_to_depth",
            10**6,
            "config: network.space_to_depth = 1000000; must be less than or equal",
        ),
    ],
)
def test_a_hostile_record_is_one_line_and_takes_no_memory(key, value, words, copied):
    path = copied / "run.json"
    path.write_text(changed(json.loads(path.read_text()), key, value))
    promise_again(copied)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(MedsmithError) as refusal:
        load_method(copied)
    assert words in refusal.value.line
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # KiB


@pytest.mark.parametrize("name", ["run.json", "manifest.json"])
@pytest.mark.parametrize("text", [DEEP, '{"a":' * 99_999, '{"seed": ' + "9" * 5000 + "}", "{", "[]", "\udcff"])
def test_json_of_any_form_is_one_line(name, text, copied):
    (copied / name).write_bytes(text.encode(errors="surrogateescape"))
    if name != "manifest.json":
        promise_again(copied)
    with pytest.raises(RunError) as refusal:
        load_method(copied)
    assert "\n" not in refusal.value.line


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.complex64, torch.float8_e4m3fn])
def test_memory_in_a_format_that_is_not_written_is_refused_by_name(dtype, copied):
    path = copied / "memory.safetensors"
    tensors = unpack(path)
    path.write_bytes(pack(tensors | {"thumbnails": tensors["thumbnails"].to(dtype)}))
    promise_again(copied)
    with pytest.raises(RunError, match=f"thumbnails is {str(dtype).removeprefix('torch.')}; memory is float32, float6"):
        load_method(copied)


def test_lines_of_metrics_that_are_none_are_dropped(tmp_path):
    good = '{"step": 1, "stage": "a"}\n'
    (tmp_path / "metrics.jsonl").write_text(good + DEEP + "\n{}\n")
    Metrics(tmp_path).rewind("a", 5)
    assert (tmp_path / "metrics.jsonl").read_text() == good


def test_numbers_are_counted_before_their_memory_is_filled():
    with limited_numbers(12):
        torch.nn.Linear(3, 3)
    with pytest.raises(TooManyNumbersError), limited_numbers(11):
        torch.nn.Linear(3, 3)
    with pytest.raises(TooManyNumbersError), limited_numbers(11):
        torch.nn.BatchNorm1d(4)  # 8 parameters, 9 in buffers
    torch.nn.Linear(30, 30)  # no limit outside


def test_a_run_folder_that_was_removed_is_no_full_disk(tmp_path):
    with pytest.raises(FileError) as refusal:
        Metrics(tmp_path / "gone").append(stage="a", step=1)
    cure = "its folder was removed meanwhile: restore it, or begin in a new one"
    assert refusal.value.line.endswith(f"metrics.jsonl: cannot be written (No such file or directory); {cure}")
