"""Device names and indices: early validation, round-robin over workers, the kind of device in the recipe."""

from collections import Counter
from types import SimpleNamespace

import pytest
import torch

import medsmith.machine
import medsmith.synthesis.devices
from medsmith.errors import RequestError
from medsmith.synthesis import SynthesisOptions, Timeouts, synthesize
from medsmith.synthesis.case_synthesis import load, resolve_request
from medsmith.synthesis.devices import check_built, check_names, check_present, kind_of
from medsmith.synthesis.executors.processes import ProcessExecutor
from medsmith.synthesis.executors.worker_process import WorkerProcess
from medsmith.synthesis.tasks import SynthesisRequest
from synthesis_fakes import LOADER, FakeMethod, options, write_run


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for module in (medsmith.machine, medsmith.synthesis.devices):
        monkeypatch.setattr(module, "torch_without_gpu", lambda: False)


@pytest.mark.parametrize(
    ("devices", "line"),
    [
        (("meta",), "device: 'meta' is not known; cpu, cuda, or cuda:INDEX"),
        (("cuda:x",), "device: 'cuda:x' is not known; cpu, cuda, or cuda:INDEX"),
        ((), "device: none is named; at least one"),
        (("cuda:1", "cpu"), "device: cpu and cuda together; bytes depend on the kind; choose one kind"),
    ],
)
def test_names_are_refused_before_an_executor_is_started(tmp_path, devices, line):
    with pytest.raises(RequestError) as caught:
        synthesize(tmp_path, tmp_path / "out", count=1, options=options(devices=devices, executor=lambda *_: 1 / 0))
    assert caught.value.line == line
    assert not (tmp_path / "out").exists()


def test_a_device_that_is_not_here_is_refused_before_the_run_is_loaded(tmp_path):
    with pytest.raises(RequestError, match=r"^device: 'cuda:99' is not here; there is cpu"):
        synthesize(tmp_path / "no run", tmp_path / "out", count=1, options=options(devices=("cuda:99",)))
    assert not (tmp_path / "out").exists()


def test_a_build_without_gpus_is_known_before_an_executor_is_started(tmp_path, monkeypatch):
    monkeypatch.setattr(medsmith.synthesis.devices, "torch_without_gpu", lambda: True)
    gpu = options(devices=("cuda",), executor=lambda *_: 1 / 0)
    with pytest.raises(RequestError) as caught:
        synthesize(tmp_path, tmp_path / "out", count=1, options=gpu)
    assert caught.value.line == "device: 'cuda' is not here; there is cpu; this PyTorch is built for the CPU alone"
    check_built(("cpu",))


@pytest.mark.usefixtures("two_gpus")
def test_where_no_device_is_named_a_gpu_is_used_if_there_is_one(monkeypatch):
    assert SynthesisOptions().devices == ("cuda",)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert SynthesisOptions().devices == ("cpu",)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: pytest.fail("imports torch"))
    monkeypatch.setattr(medsmith.machine, "torch_without_gpu", lambda: True)
    assert SynthesisOptions().devices == ("cpu",)


@pytest.mark.usefixtures("two_gpus")
def test_an_index_beyond_the_last_is_refused():
    check_present(("cuda", "cuda:0", "cuda:1"))
    with pytest.raises(RequestError, match="'cuda:7' is not here; there is cpu, cuda:0, cuda:1"):
        check_present(("cuda:0", "cuda:7"))


def test_kinds():
    assert [kind_of(device) for device in ("cpu", "cuda", "cuda:1")] == ["cpu", "cuda", "cuda"]
    check_names(("cuda", "cuda:1"))


@pytest.mark.usefixtures("two_gpus")
def test_the_run_is_loaded_on_the_device_and_the_recipe_keeps_its_kind(tmp_path, monkeypatch):
    seen = []

    def load_there(run, *, device):
        seen.append((run, device))
        return FakeMethod({})

    load.cache_clear()
    monkeypatch.setattr("synthesis_fakes.load", load_there)
    asked = SynthesisRequest(run=str(write_run(tmp_path / "run")), loader=LOADER, devices=("cuda:0", "cuda:1"))
    recipes = [resolve_request(asked, device).recipe for device in asked.devices]
    assert [device for _, device in seen] == ["cuda:0", "cuda:1"]
    assert recipes[0] == recipes[1]
    assert recipes[0].device == "cuda"


@pytest.fixture
def _unstarted(monkeypatch):
    """Workers that are never started, and always late."""

    def begin(self, _request, device, _events):
        self.device, self.ready, self.tasks, self.hung = device, False, {}, ""
        self.last_heard = 0.0

    monkeypatch.setattr(WorkerProcess, "__init__", begin)
    monkeypatch.setattr(WorkerProcess, "hang_reason", lambda *_: "late")
    monkeypatch.setattr(WorkerProcess, "kill_hung", lambda self, reason: setattr(self, "hung", reason))
    monkeypatch.setattr(WorkerProcess, "end", lambda _: None)


@pytest.mark.usefixtures("_unstarted")
def test_workers_are_spread_over_the_devices_in_turn():
    asked = SynthesisRequest(run="run", devices=("cuda:0", "cuda:1", "cuda:3"))
    with ProcessExecutor(asked, 5, Timeouts(), lambda: False) as executor:
        executor._start_workers(5)
        assert Counter(worker.device for worker in executor._workers) == {"cuda:0": 2, "cuda:1": 2, "cuda:3": 1}
        executor._workers -= {worker for worker in executor._workers if worker.device == "cuda:1"}
        executor._start_workers(4)
        assert Counter(worker.device for worker in executor._workers) == {"cuda:0": 2, "cuda:1": 1, "cuda:3": 1}


@pytest.mark.usefixtures("_unstarted")
def test_queued_messages_are_read_before_a_worker_counts_as_hung():
    with ProcessExecutor(SynthesisRequest(run="run"), 1, Timeouts(), lambda: False) as executor:
        executor._start_workers(1)
        (worker,) = executor._workers
        executor._events.put((worker, {"type": "alive"}))
        executor._process_event()
        assert (worker.hung, worker.last_heard > 0) == ("", True)
        executor._process_event()
        assert worker.hung == "late"


@pytest.mark.usefixtures("two_gpus")
def test_by_default_each_gpu_has_one_worker(tmp_path):
    sizes = []

    def start(_asked, workers, *_):
        sizes.append(workers)
        return SimpleNamespace(__enter__=None)

    for devices in (("cuda:0", "cuda:1"), ("cuda",)):
        with pytest.raises((TypeError, AttributeError)):
            synthesize(tmp_path, tmp_path / "out", count=9, options=options(devices=devices, executor=start))
    assert sizes == [2, 1]
