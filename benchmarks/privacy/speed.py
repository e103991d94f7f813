"""Processor time and memory of the search for copies, on random images: a few queries in a gallery of 500.

Writes speed.json beside this file. Run: python benchmarks/privacy/speed.py
"""

import json
import resource
import time
from pathlib import Path

import numpy as np

from medsmith.data.copies import FINE_2D, FINE_3D, Searchable, find_matches
from medsmith.data.similarity import EDGE_2D, EDGE_3D, nearest
from medsmith.machine import facts

HERE = Path(__file__).parent
GALLERY = 500
CASES = {"slices": ((EDGE_2D, EDGE_2D, 1), (FINE_2D, FINE_2D, 1), 16), "volumes": ((EDGE_3D,) * 3, (FINE_3D,) * 3, 6)}
"""Shapes of the two grids, and number of queries."""


def noise(count: int, shapes: tuple[tuple[int, ...], ...], seed: int) -> Searchable:
    """Random images on both grids; the time does not depend on what they show."""
    rng = np.random.default_rng(seed)
    coarse, fine = (rng.standard_normal((count, *shape), dtype=np.float32) for shape in shapes)
    return Searchable(coarse, fine)


def main() -> None:
    """Measure slices and volumes."""
    result: dict[str, object] = {"machine": facts(), "gallery": GALLERY}
    for name, (coarse, fine, count) in CASES.items():
        gallery, queries = noise(GALLERY, (coarse, fine), 0), noise(count, (coarse, fine), 1)
        begin = time.process_time()
        find_matches(queries, gallery)
        both = (time.process_time() - begin) / count
        begin = time.process_time()
        nearest(queries.coarse, gallery.coarse)
        result[name] = {
            "queries": count,
            "seconds_per_query": both,
            "seconds_per_query_of_the_synthesis_check": (time.process_time() - begin) / count,
            "seconds_for_500_queries": GALLERY * both,
            "peak_megabytes_so_far": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
        print(name, json.dumps(result[name]), flush=True)
    (HERE / "speed.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
