"""Are painted lesions of use? The paper's table in miniature: R, S, S then R, R + S, each by three ways of making S.

python benchmarks/lesiondiffusion/utility.py RUN REAL TEMPLATES TEST OUT --name phantoms --types "kidney cyst" ...

S is made by LMNet and LINet from words ("ours"), with deformed ellipsoids for masks ("ellipsoid", the kind of
DiffTumor), and with null texts ("no text"). REAL and TEST are annotated cohorts, TEMPLATES holds scans to put lesions
into. Every lesion becomes a cube about itself (`cubes.py`), its label the only one; a small 3-D U-Net learns from the
cubes (`medsmith utility`). With TEST the same folder as REAL the cases are divided into folds: each is tested once, by
networks that saw nothing of it. With TEMPLATES the same folder as REAL, too, lesions go into the scans of REAL with
their own lesions filled from around, and are asked for by those lesions' own words; no scan of a test case is used.

One draw per lesion: nothing is drawn again, so that every way of making S is judged by what it makes. OUT keeps cubes
and finished networks: the same command continues. Findings go to results-utility.json beside this file, by --name.

Time on one thread with the defaults: a lesion 1 to 3 s, a network 45 s; for each fold 1 network of R and 9 others per
seed. That is 15 minutes of training and 5 of synthesis for two seeds without folds.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from asking import chosen, kind_of, requests_by_template, requests_by_type
from cubes import Crop, cut, open_cubes, without_lesions
from record import claim

from medsmith import Cohort, load_method
from medsmith.cases.case_ref import CaseRef
from medsmith.diffusion import derive_seed
from medsmith.errors import RequestError
from medsmith.evaluation.downstream import SegmenterConfig, UtilityOptions, utility
from medsmith.evaluation.fidelity.bootstrap import mean_of_cases
from medsmith.formats.atomic import write_bytes, write_json
from medsmith.formats.json_file import read_json
from medsmith.machine import facts
from medsmith.progress import ConsoleProgress

HERE = Path(__file__).parent
RESULTS = HERE / "results-utility.json"
SOURCES: Mapping[str, Mapping[str, str]] = {
    "ours": {},
    "ellipsoid": {"mask_source": "ellipsoid"},
    "no text": {"words": "ignored"},
}
TRIES_PER_CASE = 4
Scores = Mapping[str, Mapping[str, Mapping[str, list[float]]]]


def main(asked: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    folder, crop = asked.out / asked.name, Crop(asked.edge, asked.size, asked.jitter, tuple(asked.window))
    real, templates, test = (Cohort.open(path) for path in (asked.real, asked.templates, asked.test))
    folds, method = divided(real, test, asked), load_method(asked.run)
    claim(folder, method.weights_hash)
    if asked.templates.resolve() == asked.real.resolve():
        templates = without_lesions(real, folder / "templates")
    cubes = {
        "real": cut(real, sorted({id for fold in folds for id in fold[0]}), folder / "real", crop),
        "test": cut(test, sorted({id for fold in folds for id in fold[1]}), folder / "test", crop),
    }
    made = {
        source: make(method, templates, asked.types, keys, asked, folder / source.replace(" ", "-"), crop)
        for source, keys in SOURCES.items()
    }
    scores = learnt(cubes, made, folds, asked, folder)
    found = {
        "types": asked.types,
        "synthetic_per_real": asked.ratio,
        "folds": len(folds),
        "real": [len(fold[0]) for fold in folds],
        "training": training_of(asked).model_dump(),
        "crop": {"edge_mm": crop.edge_mm, "voxels": crop.size, "jitter_mm": crop.jitter_mm, "hu": crop.window_hu},
        **table(scores, kinds_of(test, cubes["test"])),
        "facts": {**facts(), "weights": method.weights_hash, "network": "MONAI's U-Net; nnU-Net v2 was not at hand"},
    }
    results = dict(read_json(RESULTS)) if RESULTS.exists() else {}
    write_json(RESULTS, {**results, asked.name: found})
    for source, each in found["sources"].items():
        print(source, {name: round(arm["dice"]["value"], 3) for name, arm in each["arms"].items()})


def divided(real: Cohort, test: Cohort, asked: argparse.Namespace) -> list[tuple[list[str], list[str]]]:
    """Ids to learn from and to test on: one pair, or one per fold where both are of one cohort."""
    ids = chosen(real, asked.types, asked.real_count)
    if asked.test.resolve() != asked.real.resolve():
        return [(ids, chosen(test, asked.types, asked.test_count))]
    held = [ids[fold :: asked.folds] for fold in range(asked.folds)]
    return [([id for id in ids if id not in part], part) for part in held]


def kinds_of(cohort: Cohort, cubes: Cohort) -> Mapping[str, str]:
    return {id: kind_of(cohort, id) for id in cubes.ids}


def make(
    method: Any,
    templates: Cohort,
    types: Sequence[str],
    keys: Mapping[str, str],
    asked: argparse.Namespace,
    folder: Path,
    crop: Crop,
) -> Cohort:
    """Cubes of painted lesions; requests and seeds are alike for every source. What finds no place is passed over."""
    cubes = open_cubes(folder, templates.channel_names)
    wanted = requests_by_type(templates, types) if types else requests_by_template(templates)
    with ConsoleProgress().task(folder.name, asked.synthetic, len(cubes)) as advance:
        for number in range(TRIES_PER_CASE * asked.synthetic):
            template, said = wanted[number % len(wanted)]
            name = f"{number:04d}-{template}"
            if len(cubes) >= asked.synthetic or name in cubes:
                continue
            request = method.Request(
                templates=CaseRef(cohort=templates.root, case=template), attempts=1, **said, **keys
            )
            try:
                case = method.synthesize(request, derive_seed("utility", number), method.config.sampling)
            except RequestError:
                continue
            if not all("measured" in lesion for lesion in case.provenance["lesions"]):
                continue  # no mask worth the name was drawn
            cube = crop.of(case, name)
            if cube is not None:
                cubes.write(replace(cube, provenance={**case.provenance, "request": number}))
                advance(1, "")
    if not len(cubes):
        raise SystemExit(f"{folder}: not one lesion of {', '.join(types) or 'the real cases'} could be drawn")
    cubes.finish()
    return Cohort.open(folder)


def training_of(asked: argparse.Namespace) -> SegmenterConfig:
    return SegmenterConfig(steps=asked.steps, batch=asked.batch, channels=asked.channels, precision="bfloat16")


def learnt(
    cubes: Mapping[str, Cohort],
    made: Mapping[str, Cohort],
    folds: Sequence[tuple[Sequence[str], Sequence[str]]],
    asked: argparse.Namespace,
    folder: Path,
) -> Scores:
    """Source -> arm -> test case -> Dice of each seed, over all folds."""
    scores: dict[str, dict[str, dict[str, list[float]]]] = {source: {} for source in made}
    for number, (ids, held) in enumerate(folds):
        real = cubes["real"].subset(id for id in ids if id in cubes["real"])
        test = cubes["test"].subset(id for id in held if id in cubes["test"])
        allowed = {
            source: each.subset(id for id in each.ids if template_of(id) not in held) for source, each in made.items()
        }
        ratio = min(asked.ratio, *(len(each) / len(real) for each in allowed.values()))
        for source, each in allowed.items():
            out = folder / f"fold-{number}" / source.replace(" ", "-")
            reuse_real_networks(folder / f"fold-{number}" / "ours", out)
            options = UtilityOptions(
                cases=(0,), seeds=asked.seeds, shares=(ratio / (1 + ratio),), size=asked.size, scenes="ignored"
            )
            found = utility(
                real, each, test, out, options=options, config=training_of(asked), progress=ConsoleProgress()
            )
            for arm in found.sizes[0].arms:
                scores[source].setdefault(arm.arm.name, {}).update(dice_of(out, arm.arm.stem, asked.seeds))
    return scores


def template_of(id: str) -> str:
    """The scan that a synthetic cube was cut from."""
    return id.split("-", 1)[1]


def reuse_real_networks(done: Path, out: Path) -> None:
    """Networks that learn from real cases alone are the same for every source: train them once."""
    for path in done.glob("networks/all-0/real*.json"):
        copy = out / "networks" / "all-0" / path.name
        if not path.name.startswith("real-and-synthetic") and not copy.exists():
            write_bytes(copy, path.read_bytes())


def dice_of(out: Path, stem: str, seeds: int) -> Mapping[str, list[float]]:
    """Test case -> Dice of each seed."""
    files = [read_json(out / "networks" / "all-0" / f"{stem}-{seed}.json")["cases"] for seed in range(seeds)]
    return {id: [each[id]["dice"][0] for each in files] for id in files[0]}


def table(scores: Scores, kinds: Mapping[str, str]) -> dict[str, Any]:
    """Dice, gain over real alone, and paired differences between the sources; every number over test cases."""
    ids = sorted(kinds)
    dice = {
        source: {arm: np.array([by_case[id] for id in ids]) for arm, by_case in arms.items()}
        for source, arms in scores.items()
    }
    sources = {
        source: {"arms": {arm: summed_up(each, arms["R"], kinds) for arm, each in arms.items()}}
        for source, arms in dice.items()
    }
    differences = {
        f"ours - {other}": {
            arm: mean_of_cases((dice["ours"][arm] - each).mean(axis=1), seed=0).as_json()
            for arm, each in dice[other].items()
            if arm != "R"
        }
        for other in dice
        if other != "ours"
    }
    cases = {
        id: {"type": kinds[id], **{source: {arm: arms[arm][id] for arm in arms} for source, arms in scores.items()}}
        for id in ids
    }
    return {"n": len(ids), "sources": sources, "differences": differences, "cases": cases}


def summed_up(dice: np.ndarray, of_real: np.ndarray, kinds: Mapping[str, str]) -> dict[str, Any]:
    """One arm: n x seeds Dice of it and of real alone, cases in the order of their ids."""
    gains, of_type = dice - of_real, np.array([kinds[id] for id in sorted(kinds)])
    return {
        "dice": mean_of_cases(dice.mean(axis=1), seed=0).as_json(),
        "gain": mean_of_cases(gains.mean(axis=1), seed=0).as_json(),
        "seed_gains": gains.mean(axis=0).tolist(),
        "types": {
            str(kind): {"dice": float(dice[of_type == kind].mean()), "n": int((of_type == kind).sum())}
            for kind in np.unique(of_type)
        },
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("run", "real", "templates", "test", "out"):
        parser.add_argument(name, type=str if name == "run" else Path)
    parser.add_argument("--name", required=True, help="of this set of cases in results-utility.json")
    parser.add_argument("--types", nargs="*", default=[], help="lesion types; none takes all cases and their own words")
    parser.add_argument("--real-count", type=int, default=None, help="real cases to learn from")
    parser.add_argument("--test-count", type=int, default=None, help="cases to test on")
    parser.add_argument("--synthetic", type=int, default=48, help="lesions to paint by each source")
    parser.add_argument("--ratio", type=float, default=2.0, help="synthetic per real case; S has as many")
    parser.add_argument("--folds", type=int, default=4, help="where TEST is REAL")
    parser.add_argument("--edge", type=float, default=80.0, help="of the cubes, mm")
    parser.add_argument("--size", type=int, default=40, help="voxels along the edge, a multiple of 8")
    parser.add_argument("--jitter", type=float, default=15.0, help="of the lesion's place in its cube, mm")
    parser.add_argument("--window", type=float, nargs=2, default=(-500.0, 500.0), help="HU")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--channels", type=int, default=8)
    return parser.parse_args()


if __name__ == "__main__":
    main(arguments())
