import runpy
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsmith.errors import FileError, RequestError
from medsmith.reports import number_encoding
from medsmith.reports.number_encoding import SCALES
from medsmith.reports.organs import ORGANS
from medsmith.reports.schema import LesionReport
from medsmith.reports.vocabulary import ATTRIBUTES, attributes_for
from medsmith.text.embeddings import PhraseTable, shipped_file
from medsmith.text.encoders import MiniLM
from medsmith.text.phrases import FAMILIES, NULL, phrase_of
from medsmith.text.whitening import IDENTITY_SHARE, whiten, whiten_families
from minilm import needs_minilm

sizes = st.tuples(*[st.floats(1, 400)] * 3)
points = st.integers(2, 6).flatmap(
    lambda n: st.lists(st.lists(st.floats(-3, 3, width=32), min_size=8, max_size=8), min_size=n, max_size=n)
)


class Spelling:
    """An encoder without a network: a fixed random vector per phrase."""

    name, dimension = "spelling", 24

    def encode(self, wanted):
        rows = [np.random.default_rng([len(each), *each.encode()]).normal(size=self.dimension) for each in wanted]
        return np.array(rows, np.float32)


@pytest.fixture(scope="module")
def raw():
    return PhraseTable.load()


@pytest.fixture(scope="module")
def apart(raw):
    return raw.whitened()


def cosine(first, second):
    return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


def cosines(table, family):
    return [cosine(*pair) for pair in combinations(table.vectors[family], 2)]


# The vocabulary


def test_every_option_organ_and_lesion_type_has_a_phrase_and_none_twice():
    for name, row in ATTRIBUTES.items():
        assert FAMILIES[name] == (row.options or FAMILIES[name])
    assert {phrase_of(organ) for organ in ORGANS} == set(FAMILIES["organ"])
    assert len(FAMILIES["lesion_type"]) == 15
    assert FAMILIES["null"] == (NULL,) == ("",)
    assert all(len(set(family)) == len(family) for family in FAMILIES.values())


# The shipped table


@needs_minilm
def test_the_shipped_table_is_what_minilm_says(raw):
    encoder = MiniLM()
    assert raw.encoder == encoder.name
    for name, family in FAMILIES.items():
        few = slice(None, None, 1 + len(family) // 4)
        np.testing.assert_allclose(raw.vectors[name][few], encoder.encode(family[few]), atol=3e-4)


def test_the_shipped_table_is_small_and_loads_without_a_text_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert shipped_file().stat().st_size < 400_000
    assert PhraseTable.load("minilm").dimension == MiniLM.dimension


def test_opposites_are_near_before_and_far_after(raw, apart):
    opposites = {
        "surface": ("well-defined margin", "ill-defined margin"),
        "density_variation": ("homogeneous", "heterogeneous"),
        "relationship": FAMILIES["relationship"],
        "features": FAMILIES["features"][:2],
    }
    for family, pair in opposites.items():
        before, after = (cosine(*(table.vector(family, phrase) for phrase in pair)) for table in (raw, apart))
        assert before > 0.7
        assert after < 0.3


def test_no_two_options_of_an_attribute_are_alike_after_whitening(apart):
    for family in ATTRIBUTES:
        if ATTRIBUTES[family].options:
            assert max(cosines(apart, family)) < 0.3


def test_whitened_vectors_have_a_mean_square_of_one(apart):
    for rows in apart.vectors.values():
        np.testing.assert_allclose((rows**2).mean(axis=1), 1, rtol=1e-5)


def test_tokens_of_different_attributes_are_told_apart(apart):
    shape, surface = apart.vectors["shape"], apart.vectors["surface"]
    assert np.abs([cosine(a, b) for a in shape for b in surface]).max() < 0.5


# Building, saving, loading


def test_a_table_comes_back_as_it_was_saved(tmp_path):
    table = PhraseTable.build(Spelling())
    table.save(tmp_path / "a.safetensors")
    table.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    loaded = PhraseTable.load(tmp_path / "a.safetensors")
    assert (loaded.encoder, loaded.dimension) == ("spelling", 24)
    for name in FAMILIES:
        np.testing.assert_array_equal(loaded.vectors[name], table.vectors[name])


def test_a_table_of_other_phrases_is_refused(tmp_path, monkeypatch):
    PhraseTable.build(Spelling()).save(tmp_path / "old.safetensors")
    others = {**FAMILIES, "lesion_type": ("liver cyst",)}
    monkeypatch.setattr("medsmith.text.embeddings.FAMILIES", others)
    with pytest.raises(FileError, match=r"phrases are not those of this version; build it from .* FOLDER"):
        PhraseTable.load(tmp_path / "old.safetensors")


@pytest.mark.parametrize("content", [b"", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ", b"no safetensors at all"])
def test_a_file_that_is_no_table(tmp_path, content):
    path = tmp_path / "some.safetensors"
    path.write_bytes(content)
    with pytest.raises(FileError, match="is no phrase table"):
        PhraseTable.load(path)


def test_a_table_that_nobody_built_is_one_line_with_the_command():
    found = r"^biomedclip.safetensors: does not exist, the phrase table that the config names; shipped: minilm; "
    command = r"build it .*: python examples/build_phrase_table.py biomedclip.safetensors biomedclip FOLDER$"
    with pytest.raises(FileError, match=found + command):
        PhraseTable.load("biomedclip")


def test_a_table_is_found_with_and_without_its_ending(tmp_path, monkeypatch):
    PhraseTable.build(Spelling()).save(tmp_path / "spelling.safetensors")
    monkeypatch.chdir(tmp_path)
    assert PhraseTable.load("spelling").encoder == PhraseTable.load("spelling.safetensors").encoder == "spelling"


def test_building_without_the_encoder_is_one_line(tmp_path, monkeypatch, capsys):
    script = str(Path(__file__).parents[2] / "examples" / "build_phrase_table.py")
    monkeypatch.setattr(sys, "argv", [script, str(tmp_path / "biomedclip.safetensors"), "biomedclip", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(script, run_name="__main__")
    said = capsys.readouterr().err
    assert (ended.value.code, said.count("\n")) == (2, 1)
    assert "no tokenizer.json or vocab.txt; copy the model's folder whole" in said
    assert not list(tmp_path.iterdir())


# Tokens


@settings(max_examples=30, deadline=None)
@given(
    st.builds(
        LesionReport,
        organ=st.none() | st.sampled_from(ORGANS),
        shape=st.lists(st.sampled_from(ATTRIBUTES["shape"].options), max_size=3, unique=True).map(tuple),
        size_mm=st.none() | sizes,
        density=st.none() | st.sampled_from(ATTRIBUTES["density"].options),
        ct_value_hu=st.none() | st.floats(-1024, 3071),
        surface=st.none() | st.sampled_from(ATTRIBUTES["surface"].options),
        features=st.lists(st.sampled_from(ATTRIBUTES["features"].options), max_size=2, unique=True).map(tuple),
    ),
    st.sampled_from(["mask", "image"]),
)
def test_one_token_per_attribute_in_the_order_of_the_template(raw, report, consumer):
    tokens = raw.tokens(report, consumer)
    rows = attributes_for(consumer)
    assert tokens.vectors.shape == (len(rows), raw.dimension)
    for row, vector, present in zip(rows, tokens.vectors, tokens.present, strict=True):
        value = getattr(report, row.name)
        assert present == (value not in (None, ()))
        if not present:
            np.testing.assert_array_equal(vector, raw.vector("null", NULL))
        elif isinstance(value, str) and row.options:
            np.testing.assert_array_equal(vector, raw.vector(row.name, value))
        elif row.options:
            expected = sum(raw.vector(row.name, each) for each in value) / len(value)
            np.testing.assert_allclose(vector, expected, atol=1e-6)


def test_an_empty_report_is_all_null(apart):
    tokens = apart.tokens(LesionReport(), "image")
    assert not tokens.present.any()
    assert np.unique(tokens.vectors, axis=0).shape[0] == 1


def test_an_organ_by_any_of_its_names(raw):
    index = [row.name for row in attributes_for("mask")].index("organ")
    names = ("kidney_left", "left kidney", "kidney_right")
    by_name, by_words, other = (raw.tokens(LesionReport(organ=name), "mask").vectors[index] for name in names)
    np.testing.assert_array_equal(by_name, by_words)
    assert not np.array_equal(by_name, other)


def test_an_organ_that_the_vocabulary_lacks(raw):
    with pytest.raises(RequestError, match="organ: no phrase 'spleenish' in the table; nearest: spleen"):
        raw.tokens(LesionReport(organ="spleenish"), "mask")


# Numbers


def size_token(table, edges):
    index = [row.name for row in attributes_for("mask")].index("size_mm")
    return table.tokens(LesionReport(size_mm=edges), "mask").vectors[index]


def test_close_sizes_have_close_tokens_and_far_ones_do_not(apart):
    near, far = (cosine(size_token(apart, (20, 20, 20)), size_token(apart, (edge,) * 3)) for edge in (21, 60))
    assert near > 0.95
    assert far < 0.75
    turned = cosine(size_token(apart, (10, 20, 40)), size_token(apart, (40, 20, 10)))
    assert turned < 0.9


@settings(max_examples=50, deadline=None)
@given(sizes, st.floats(-1024, 3071))
def test_numbers_have_the_length_of_the_null_text(apart, edges, hu):
    report = LesionReport(size_mm=edges, ct_value_hu=hu)
    lengths = np.linalg.norm(apart.tokens(report, "image").vectors, axis=1)
    np.testing.assert_allclose(lengths, apart.dimension**0.5, rtol=1e-5)


@pytest.mark.parametrize("name", list(SCALES))
def test_no_two_numbers_of_the_range_look_alike(name):
    values = np.geomspace(1, 400, 60) if SCALES[name].logarithmic else np.linspace(-1024, 3071, 60)
    vectors = np.array([number_encoding.sinusoidal_encoding([value], SCALES[name], 384) for value in values])
    closeness = vectors @ vectors.T
    neighbours = np.diagonal(closeness, 1)
    further = [closeness[i, j] for i in range(60) for j in range(i + 2, 60)]
    assert neighbours.min() > max(further) - 0.05
    assert max(further) < 0.98


def test_a_number_by_hand():
    scale = number_encoding.PeriodScale(logarithmic=False, longest=8.0, shortest=2.0)
    angles = 2 * np.pi * 1.0 / np.array([8.0, 4.0, 2.0])
    expected = np.concatenate([np.sin(angles), np.cos(angles), [0.0]]) / 3**0.5
    np.testing.assert_allclose(number_encoding.sinusoidal_encoding([1.0], scale, 7), expected, atol=1e-12)


# Whitening


def test_without_regularization_all_points_are_equally_far():
    rows = whiten(np.random.default_rng(0).normal(size=(5, 9)), regularization=0.0)
    np.testing.assert_allclose(rows @ rows.T, np.where(np.eye(5) > 0, 1, -1 / 4), atol=1e-9)


def test_much_regularization_leaves_the_centred_points():
    scattered = np.random.default_rng(1).normal(size=(6, 9))
    centred = scattered - scattered.mean(0)
    rows = whiten(scattered, regularization=1e12)
    np.testing.assert_allclose(rows, centred / np.linalg.norm(centred, axis=1, keepdims=True), atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(points, st.floats(0.1, 10), st.integers(0, 2**32 - 1))
def test_whitening_follows_a_turn_and_ignores_place_and_scale(rows, scale, seed):
    rows = np.array(rows) + 0.1 * np.random.default_rng(seed).normal(size=(len(rows), 8))
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(8, 8)))
    moved = scale * rows @ turn + 3
    np.testing.assert_allclose(whiten(moved), whiten(rows) @ turn, atol=1e-6)


@pytest.mark.parametrize("count", [1, 3])
def test_points_that_are_all_alike_become_nothing(count):
    assert not whiten(np.ones((count, 4))).any()


def test_a_pair_ends_at_the_angle_of_its_shares():
    draw = np.random.default_rng(2)
    # Families in spaces of their own: identity and deviation are at right angles, as the closed form needs.
    families = {name: np.zeros((2, 12)) for name in "abc"}
    for index, rows in enumerate(families.values()):
        rows[:, index] = 1
        rows[:, 3 + 3 * index : 6 + 3 * index] = draw.normal(size=(2, 3))
        rows[1, 3 + 3 * index : 6 + 3 * index] *= -1
        rows[0, 3 + 3 * index : 6 + 3 * index] = -rows[1, 3 + 3 * index : 6 + 3 * index]
    for rows in whiten_families(families).values():
        assert cosine(*rows) == pytest.approx(2 * IDENTITY_SHARE - 1)
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 12**0.5)
