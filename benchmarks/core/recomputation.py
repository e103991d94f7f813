"""Peak memory and time of a training step of a 3-D U-Net, activations kept or recomputed, batch whole or in parts.

    python benchmarks/core/recomputation.py [--edge 64]

Each row is a process of its own: the growth of its peak resident memory over that before the first step, and the second
step's seconds. The result goes to recomputation.json beside this file.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import torch

from medsmith.formats.atomic import write_json
from medsmith.machine import facts
from medsmith.networks.recomputation import recomputed_activations
from medsmith.networks.unet import NetworkConfig, UNet

HERE = Path(__file__).parent
BATCH = 2
CONFIG = NetworkConfig(
    channels=(32, 64, 128), attention=(False, False, True), residual_blocks=2, head_channels=32, space_to_depth=1
)
ROWS = [(activations, parts) for activations in ("kept", "recomputed") for parts in (1, BATCH)]


def measure(activations: str, parts: int, edge: int) -> None:
    """One row, printed as JSON."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network, x, t = UNet(CONFIG, 3, 1, 1), torch.randn(BATCH, 1, edge, edge, edge), torch.tensor([10, 500])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with recomputed_activations(network) if activations == "recomputed" else nullcontext():
        for _ in range(2):
            start = time.process_time()
            network.zero_grad()
            for index in range(parts):
                (network(x[index::parts], t[index::parts]) ** 2).mean().div(parts).backward()
            seconds = time.process_time() - start
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({"activations": activations, "parts": parts, "mib": grown / 1024, "seconds": seconds}))


def main(edge: int) -> None:
    """Every row."""
    rows = []
    for activations, parts in ROWS:
        command = [sys.executable, __file__, "--edge", str(edge), "--row", activations, str(parts)]
        rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        print(rows[-1], flush=True)
    write_json(HERE / "recomputation.json", {"rows": rows, "edge": edge, "batch": BATCH, "facts": facts()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edge", type=int, default=64)
    parser.add_argument("--row", nargs=2)
    arguments = parser.parse_args()
    if arguments.row:
        measure(arguments.row[0], int(arguments.row[1]), arguments.edge)
    else:
        main(arguments.edge)
