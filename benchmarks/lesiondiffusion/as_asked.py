"""The part of the page on the share of lesions that are as asked, of pass-rate.json."""

from tables import Found, estimate, origin, table

from medsmith.measurement.adherence import IN_WORDS

DRAWS = ("first draw", "all draws")
"""The lesion of a single draw, and the best of those that the method takes until one meets its request."""

TEXT = """
## Lesions as asked

{n} lesions of any type that the templates have room for, their reports drawn by the rules, as `medsmith synthesize
lesiondiffusion --templates` draws them: the share that is visible and meets its request in every attribute that is
measured, at the first draw and after all {draws} draws, of which the best is kept. Lesions that miss their request
count as well ({without} had no mask); {no_place} draws of a report had no place. Nothing is made at another place or in
another template, as `medsmith synthesize` does after that. What a lesion of few voxels cannot show is not judged. The
scans (`medsmith phantom ct-healthy fresh83 --count 6 --size 96 --seed 83`) and reports were drawn for this figure
alone; nothing in the method was adjusted to them. Intervals are Wilson's.

{shares}

By type, after all draws, with the mean of the lesion and the median of the organ around it (HU; in brackets those
that are known):

{types}

{origin}
"""


def part(found: Found) -> str:
    """Text and tables."""
    pieces = {"n": found["n"], "no_place": found["no_place"], "draws": found["most_draws"]}
    without = found["without_mask"][DRAWS[1]]
    return TEXT.format(**pieces, without=without, shares=_shares(found), types=_types(found), origin=origin(found))


def _shares(found: Found) -> str:
    """All lesions first, then each attribute."""
    kinds = {"every attribute, and visible": found["passed"], "visible": found["visible"], **found["attributes"]}
    rows = [
        [IN_WORDS.get(name, name), *(_percent(each[draw]) for draw in DRAWS), _count(each[DRAWS[1]])]
        for name, each in kinds.items()
    ]
    return table(["as asked", *DRAWS, "n"], rows)


def _types(found: Found) -> str:
    """One row per type."""
    head = ["type", "as asked", "n", "CT value requested", "lesion", "organ around it"]
    rows = []
    for name, each in found["types"].items():
        last = each["passed"][DRAWS[1]]
        means = [_mean(each[of]) for of in ("requested_hu", "lesion_hu", "around_hu")]
        rows.append([name, _percent(last), _count(last), *means])
    return table(head, rows)


def _percent(found: Found | None) -> str:
    return f"{estimate(found, 100, 1)} %" if found else ""


def _count(found: Found | None) -> str:
    return str(found["n"]) if found else "0"


def _mean(found: Found | None) -> str:
    return f"{found['value']:.0f} ({found['n']})" if found else ""
