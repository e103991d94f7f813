"""The same cohort made in several ways has the same bytes: one worker, two, and a Ray cluster that loses a node.

    python benchmarks/core/same_bytes.py FOLDER [--count 400] [--method pig] [--steps 8] [--batch 1]

The cluster has three nodes of one CPU each on this machine; one is killed without notice when a quarter of the cases is
there. Compared is every file but logs and pictures of refused attempts, which are no part of the cohort. Needs the
extra ``cluster``. What is there is continued. Writes same_bytes.json beside this file.
"""

import argparse
import hashlib
import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medsmith.errors import MedsmithError
from medsmith.formats.atomic import sha256_of, write_json
from medsmith.machine import facts
from medsmith.progress import ConsoleProgress
from medsmith.synthesis import SynthesisOptions, synthesize
from medsmith.synthesis.checks.result import Limits

HERE = Path(__file__).parent
NODE: Mapping[str, Any] = {"num_cpus": 1, "object_store_memory": 80 * 2**20}


def digest_of(out: Path) -> tuple[str, int]:
    """SHA-256 over names and content of a cohort's files, and their number."""
    files = sorted(path for path in out.rglob("*") if path.is_file())
    kept = [path for path in files if not path.name.startswith("log") and path.parent.name != "rejected"]
    digest = hashlib.sha256()
    for path in kept:
        digest.update(f"{path.relative_to(out)} {sha256_of(path)}\n".encode())
    return digest.hexdigest(), len(kept)


def made(asked: argparse.Namespace, name: str, options: SynthesisOptions, workers: int | None) -> dict[str, Any]:
    """A cohort of the experiment."""
    out = asked.folder / name
    synthesize(
        asked.method,
        out,
        count=asked.count,
        steps=asked.steps,
        workers=workers,
        options=options,
        progress=ConsoleProgress(),
    )
    digest, files = digest_of(out)
    return {"made by": name, "sha256": digest, "files": files}


def on_a_cluster(asked: argparse.Namespace, options: dict[str, Any]) -> dict[str, Any]:
    """A cohort made by three nodes, one of which is killed."""
    import ray
    from ray.cluster_utils import Cluster

    from medsmith.synthesis.executors.ray_cluster import RayOptions, ray_executor

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cluster = Cluster(initialize_head=True, head_node_args=dict(NODE))
    nodes = [cluster.add_node(**NODE) for _ in range(2)]
    ray.init(address=cluster.address, log_to_driver=False)
    at: list[int] = []

    def kill() -> None:
        provenance = asked.folder / "cluster" / "provenance"
        while (there := len(list(provenance.glob("*.json")))) < asked.count // 4:
            time.sleep(0.2)
        cluster.remove_node(nodes[0], allow_graceful=False)
        at.append(there)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    try:
        row = made(asked, "cluster", SynthesisOptions(executor=ray_executor(RayOptions()), **options), None)
        killer.join(60)
    finally:
        ray.shutdown()
        cluster.shutdown()
    return row | {"a node was killed with cases made": at[0] if at else None}


def main(asked: argparse.Namespace) -> None:
    """All three ways."""
    options = {"devices": ("cpu",), "limits": Limits(attempts=asked.attempts), "batch": asked.batch}
    rows = [made(asked, f"{workers} workers", SynthesisOptions(**options), workers) for workers in (1, 2)]
    rows.append(on_a_cluster(asked, options))
    same = len({row["sha256"] for row in rows}) == 1
    about = {key: getattr(asked, key) for key in ("method", "count", "steps", "batch")}
    write_json(HERE / "same_bytes.json", {**about, "same bytes": same, "rows": rows, "facts": facts()})
    print(f"{asked.count} cases of {asked.method}: {'the same bytes' if same else 'the bytes DIFFER'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--method", default="pig", help="a run, or shipped weights")
    parser.add_argument("--steps", type=int, default=8, help="of sampling")
    parser.add_argument("--attempts", type=int, default=200, help="at a case")
    parser.add_argument("--batch", type=int, default=1, help="cases whose network passes are joined")
    try:
        main(parser.parse_args())
    except MedsmithError as error:
        sys.exit(error.line)
