"""Tasks of a Ray cluster, and the functions that run on its nodes."""

import json
import shutil
import threading
import time
from pathlib import Path

import pytest

from medsmith.errors import RequestError
from medsmith.synthesis import synthesize
from medsmith.synthesis.executors import ray_tasks
from medsmith.synthesis.tasks import SynthesisRequest
from synthesis_fakes import LOADER, contents, in_process, options, write_run

COUNT = 24


def test_a_node_without_the_run_gets_a_copy_of_its_files(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "node"))
    run = write_run(tmp_path / "run", bias=1)
    files = ray_tasks.RunFiles.of(str(run))
    assert files.located(str(run)) == str(run)
    gone = run.rename(tmp_path / "elsewhere")
    ray_tasks._LOCATED.clear()
    copy = Path(files.located(str(run)))
    assert (copy / "fake.json").read_bytes() == (gone / "fake.json").read_bytes()
    write_run(run, bias=2)
    ray_tasks._LOCATED.clear()
    assert files.located(str(run)) == str(copy)
    assert ray_tasks.RunFiles.of("pig").located("pig") == "pig"


def test_a_task_makes_its_cases_once_and_reports_errors_of_all(tmp_path):
    run = write_run(tmp_path / "run")
    request = SynthesisRequest(run=str(run), loader=LOADER)
    files = ray_tasks.RunFiles.of(str(run))
    resolved = ray_tasks.resolve(files, request.model_dump_json(), "cpu")["resolved"]
    recipe = json.dumps({"run": str(run), "loader": LOADER, "recipe": resolved["recipe"], "index": 0})
    spec, out = json.dumps(resolved["spec"]), tmp_path / "out"
    first = ray_tasks.make_cases(files, [recipe], str(out), spec, "cpu")
    assert first["outcomes"][-1]["status"] == "made"
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.*")}
    again = ray_tasks.make_cases(files, [recipe], str(out), spec, "cpu")
    assert again == {"outcomes": [{"id": "fake_00000", "status": "made", "refused": {}}]}
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.*")} == before
    wrong = request.model_copy(update={"request": {"colour": 1}}).model_dump_json()
    assert ray_tasks.resolve(files, wrong, "cpu")["error"]["kind"] == "RequestError"


@pytest.mark.usefixtures("unchecked_types")
def test_the_rows_of_a_batch_are_made_at_once(tmp_path):
    run = write_run(tmp_path / "run")
    request = SynthesisRequest(run=str(run), loader=LOADER, batch=3, limits=in_process().limits)
    files = ray_tasks.RunFiles.of(str(run))
    resolved = ray_tasks.resolve(files, request.model_dump_json(), "cpu")["resolved"]
    shared = {"run": str(run), "loader": LOADER, "recipe": resolved["recipe"]}
    tasks = [json.dumps(shared | {"index": index}) for index in range(5)]
    found = ray_tasks.make_cases(files, tasks, str(tmp_path / "out"), json.dumps(resolved["spec"]), "cpu")["outcomes"]
    assert sorted(each["id"] for each in found if each["status"] == "made") == [f"fake_{k:05d}" for k in range(5)]
    synthesize(run, tmp_path / "calm", count=5, workers=1, options=in_process(batch=3))
    made, calm = contents(tmp_path / "out"), contents(tmp_path / "calm")
    assert {name: calm[name] for name in made} == made


def test_a_failing_disk_is_for_ray_to_try_again(tmp_path, monkeypatch):
    run = write_run(tmp_path / "run")
    request = SynthesisRequest(run=str(run), loader=LOADER, devices=("cpu",))
    files = ray_tasks.RunFiles.of(str(run))
    resolved = ray_tasks.resolve(files, request.model_dump_json(), "cpu")["resolved"]
    task = json.dumps({"run": str(run), "loader": LOADER, "recipe": resolved["recipe"], "index": 0})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("medsmith.formats.atomic._sync", full)
    with pytest.raises(OSError, match="No space left"):
        ray_tasks.make_cases(files, [task], str(tmp_path / "out"), json.dumps(resolved["spec"]), "cpu")


@pytest.fixture
def cluster(monkeypatch):
    """Three nodes on this machine with one CPU each."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    sized = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    made = Cluster(initialize_head=True, head_node_args=sized)
    nodes = [made.add_node(**sized) for _ in range(2)]
    ray.init(address=made.address, log_to_driver=False)
    yield made, nodes
    ray.shutdown()
    made.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_killed_node_changes_no_byte(tmp_path, cluster):
    from medsmith.synthesis.executors.ray_cluster import RayOptions, ray_executor

    write_run(tmp_path / "run", seconds=0.1)
    synthesize(tmp_path / "run", tmp_path / "calm", count=COUNT, options=in_process())
    made, nodes = cluster
    killed = threading.Event()

    def kill():
        while len(list((tmp_path / "out" / "provenance").glob("*.json"))) < COUNT // 4:
            time.sleep(0.02)
        made.remove_node(nodes[0], allow_graceful=False)
        killed.set()

    threading.Thread(target=kill, daemon=True).start()
    executor = ray_executor(RayOptions(cases_per_task=2))
    synthesize(tmp_path / "run", tmp_path / "out", count=COUNT, options=options(executor=executor))
    assert killed.wait(60)
    for folder in ("calm", "out"):
        shutil.rmtree(tmp_path / folder / "rejected", ignore_errors=True)
    assert contents(tmp_path / "out") == contents(tmp_path / "calm")


def test_ray_options_are_checked():
    pytest.importorskip("ray")
    from medsmith.synthesis.executors.ray_cluster import RayOptions

    with pytest.raises(RequestError, match="0 cases per task"):
        RayOptions(cases_per_task=0)


def test_without_ray_the_line_that_installs_it_is_named(monkeypatch):
    from medsmith.cli.executors import executor_of

    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(RequestError, match=r"ray is not installed; .*pip install -e '\.\[cluster\]'"):
        executor_of("ray", None)
    with pytest.raises(RequestError, match=r"no cluster is used; .*add --executor ray"):
        executor_of("processes", "auto")
