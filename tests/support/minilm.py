"""Whether the text network of the tests is installed."""

from importlib import metadata

import pytest

from medsmith.text.encoders import MiniLM


def has_minilm():
    try:
        return bool(metadata.files(MiniLM.package))
    except metadata.PackageNotFoundError:
        return False


needs_minilm = pytest.mark.skipif(not has_minilm(), reason="the package of MiniLM's weights is not installed")
