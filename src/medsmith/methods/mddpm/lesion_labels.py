"""Labels of lesions that a request leaves out, where the anatomy tells them."""

from medsmith.cases.case_ref import candidate_ids, open_cohort
from medsmith.cases.label_names import foreground_names
from medsmith.methods.mddpm.request import MddpmRequest, Pathology
from medsmith.methods.mddpm.requested_anatomy import RequestedAnatomy


def with_lesion_labels(request: MddpmRequest) -> MddpmRequest:
    """The request with the label of each lesion, where exactly one label of its cohort is no class of the shape space.

    Other labels that are left out stay so: ``lesion_label`` takes the only one, or asks.

    Args:
        request: the request.

    Raises:
        RequestError: a case does not exist.
        MedsmithError: the shape space or a cohort cannot be read.
    """
    if request.anatomy is None or all(lesion.label is not None for lesion in request.pathologies):
        return request
    classes = foreground_names(RequestedAnatomy.of(request.anatomy).space.record.region_names)
    return request.model_copy(update={"pathologies": tuple(_named(each, classes) for each in request.pathologies)})


def _named(lesion: Pathology, classes: tuple[str, ...]) -> Pathology:
    if lesion.label is not None:
        return lesion
    candidate_ids(lesion.case)  # a case that does not exist comes before a label that is not named
    others = [name for name in foreground_names(open_cohort(lesion.case).label_names) if name not in classes]
    return lesion.model_copy(update={"label": others[0]}) if len(others) == 1 else lesion
