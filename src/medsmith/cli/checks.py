"""What is said of the cohorts of an evaluation before anything heavy is loaded; evaluations check it again."""

from pathlib import Path


def check_comparable(real: Path, synthetic: Path, training: Path | None, group: str | None) -> None:
    """Refuses cohorts that ``evaluate`` cannot compare.

    Raises:
        CohortError: too few cases, unlike or swapped cohorts.
        RequestError: the expression of the patients does not fit the ids.
    """
    from medsmith.cases.cohort import Cohort
    from medsmith.evaluation.alike import check_alike
    from medsmith.evaluation.roles import check_roles
    from medsmith.evaluation.scope import comparison_scope, one_of_each_patient

    reference, made = one_of_each_patient(Cohort.open(real), group), Cohort.open(synthetic)
    learned = Cohort.open(training) if training else reference
    comparison_scope(reference, made, learned)
    check_alike(reference, made, learned)
    check_roles({"real": reference, "training": learned}, made)


def check_given_roles(real: Path, synthetic: Path, test: Path) -> None:
    """Refuses cohorts of an experiment with segmentation networks that were swapped.

    Raises:
        CohortError: they were.
    """
    from medsmith.cases.cohort import Cohort
    from medsmith.evaluation.roles import check_roles

    check_roles({"real": Cohort.open(real), "test": Cohort.open(test)}, Cohort.open(synthetic))


def whole_numbers(text: str | None) -> tuple[int, ...] | None:
    """Numbers separated by commas.

    Raises:
        RequestError: something else is among them.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        from medsmith.errors import RequestError

        raise RequestError("--cases", f"{text!r}", "whole numbers separated by commas", "for example 20,40")
    return tuple(map(int, parts))
