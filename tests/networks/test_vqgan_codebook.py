import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medsmith.networks import quantizer
from medsmith.networks.quantizer import (
    EMACodebook,
    GradientCodebook,
    nearest,
    perplexity,
    straight_through,
)

KINDS = [EMACodebook, GradientCodebook]


def drawn(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def code_shares(indices, count):
    return torch.bincount(indices.flatten(), minlength=count).double() / indices.numel()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def filled(kind=EMACodebook, count=6, dimension=3, commitment=0.25, decay=0.9):
    """A codebook with known codes in equal use."""
    book = kind(count, dimension, commitment, decay)
    with torch.no_grad():
        book.codes.copy_(drawn(1, count, dimension))
    book.shares.fill_(1 / count)
    return book


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 5), st.integers(0, 10**6), st.integers(1, 7))
def test_the_nearest_code_is_brute_forces(count, dimension, seed, rows_at_once):
    latents, codes = drawn(seed, 2, dimension, 3, 2, 2), drawn(seed + 1, count, dimension)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(quantizer, "_ROWS", rows_at_once)
        indices, values = nearest(latents, codes)
    rows = latents.movedim(1, -1).reshape(-1, dimension)
    distances = torch.cdist(rows.double(), codes.double())
    taken = distances.gather(1, indices.reshape(-1, 1))[:, 0]
    torch.testing.assert_close(taken, distances.min(1).values, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(values, codes[indices].movedim(-1, 1))


def test_values_pass_and_the_gradient_goes_straight_through():
    latents, values = drawn(0, 2, 3, 4).requires_grad_(True), drawn(1, 2, 3, 4)
    passed = straight_through(latents, values)
    torch.testing.assert_close(passed, values)
    weights = drawn(2, 2, 3, 4)
    (passed * weights).sum().backward()
    torch.testing.assert_close(latents.grad, weights)


@pytest.mark.parametrize("kind", KINDS)
def test_codes_come_back_as_they_are(kind):
    book = filled(kind)
    quantized = book(book.codes.detach().T[None])
    torch.testing.assert_close(quantized.values[0].T, book.codes.detach())
    assert quantized.indices.tolist() == [[0, 1, 2, 3, 4, 5]]
    assert float(quantized.loss.detach()) == 0


def test_the_loss_of_moving_averages_is_the_commitment_alone():
    book, latents = filled(), drawn(3, 2, 3, 4, 4).requires_grad_(True)
    quantized = book(latents)
    error = (latents - quantized.values).detach().square().mean()
    assert float(quantized.loss.detach()) == pytest.approx(0.25 * float(error))
    quantized.loss.backward()
    expected = 0.25 * 2 * (latents - quantized.values).detach() / latents.numel()
    torch.testing.assert_close(latents.grad, expected)
    assert not book.codes.requires_grad


def test_the_loss_of_gradients_has_both_terms():
    book, latents = filled(GradientCodebook), drawn(3, 2, 3, 4, 4).requires_grad_(True)
    quantized = book(latents)
    difference = (latents - quantized.values).detach()
    assert float(quantized.loss.detach()) == pytest.approx(1.25 * float(difference.square().mean()))
    quantized.loss.backward()
    torch.testing.assert_close(latents.grad, 0.25 * 2 * difference / latents.numel())
    towards = torch.zeros_like(book.codes)
    towards.index_add_(0, quantized.indices.flatten(), difference.movedim(1, -1).reshape(-1, 3))
    torch.testing.assert_close(book.codes.grad, -2 * towards / latents.numel())


def test_moving_averages_by_hand():
    """Three steps against the textbook's N = d N + (1 - d) n, m = d m + (1 - d) sum, code = m / N."""
    book = filled(decay=0.9)
    counts, sums = np.full(6, 1 / 6), book.codes.double().numpy() / 6
    for step in range(3):
        latents = drawn(10 + step, 2, 3, 5, 5)
        indices = book(latents).indices
        rows, chosen = latents.movedim(1, -1).reshape(-1, 3).double().numpy(), indices.flatten().numpy()
        hits = np.eye(6)[chosen]
        counts = 0.9 * counts + 0.1 * hits.sum(0) / len(rows)
        sums = 0.9 * sums + 0.1 * hits.T @ rows / len(rows)
        book.update(latents, indices, generator())
        np.testing.assert_allclose(book.codes.numpy(), sums / counts[:, None], rtol=1e-5)
        np.testing.assert_allclose(book.shares.numpy(), counts, rtol=1e-5)


def test_codes_start_on_the_data():
    torch.manual_seed(0)
    book, latents = EMACodebook(16, 2, 0.25), 50 + drawn(0, 1, 2, 8, 8)
    book.update(latents, book(latents).indices, generator())
    assert book.codes.min() > 40
    rows = {tuple(row) for row in latents[0].reshape(2, -1).T.tolist()}
    assert sum(tuple(code) in rows for code in book.codes.tolist()) >= 15
    assert float(book(latents).loss) < 0.25


def test_dead_codes_take_the_place_of_latents_and_living_ones_stay():
    book, latents = filled(), drawn(5, 1, 3, 30)
    book.shares[2] = 1e-4
    latents[0, :, 0] = 40.0
    living = [index for index in range(6) if index != 2]
    indices = torch.tensor([living * 6])
    book.update(latents, indices, generator(3))
    assert tuple(book.codes[2].tolist()) in {tuple(row) for row in latents[0].T.tolist()}
    assert float(book.shares[2]) == pytest.approx(1 / 6)
    assert not any(
        tuple(book.codes[index].tolist()) in {tuple(row) for row in latents[0].T.tolist()} for index in living
    )


@pytest.mark.parametrize("kind", KINDS)
def test_equal_draws_give_equal_books(kind):
    books = []
    for _ in range(2):
        torch.manual_seed(0)
        book = kind(32, 3, 0.25)
        for step in range(3):
            latents = drawn(step, 1, 3, 4, 4)
            book.update(latents, book(latents).indices, generator(step))
        books.append(book)
    for first, second in zip(books[0].state_dict().values(), books[1].state_dict().values(), strict=True):
        assert first.numpy().tobytes() == second.numpy().tobytes()


def test_codes_that_learn_by_gradient_are_only_counted():
    book, latents = filled(GradientCodebook), drawn(4, 2, 3, 5)
    before, indices = book.codes.detach().clone(), book(latents).indices
    book.update(latents, indices, generator())
    assert torch.equal(book.codes, before)
    expected = 0.9 / 6 + 0.1 * code_shares(indices, 6).float()
    torch.testing.assert_close(book.shares, expected)


def test_all_codes_come_into_use_on_spread_data():
    torch.manual_seed(0)
    book = EMACodebook(64, 2, 0.25)
    for step in range(60):
        latents = drawn(step, 1, 2, 24, 24)
        book.update(latents, book(latents).indices, generator(step))
    use = code_shares(book(drawn(99, 1, 2, 64, 64)).indices, 64)
    assert float((use > 0).float().mean()) > 0.95
    assert perplexity(use) > 40


@pytest.mark.parametrize("kind", KINDS)
def test_autocast_changes_nothing(kind):
    book, latents = filled(kind), drawn(6, 1, 3, 6, 6)
    plain = book(latents)
    with torch.autocast("cpu", torch.bfloat16):
        cast = book(latents)
    assert cast.values.dtype == cast.loss.dtype == torch.float32
    assert torch.equal(cast.indices, plain.indices)
    assert torch.equal(cast.values, plain.values)


def test_half_precision_holds_the_state_of_a_large_book():
    torch.manual_seed(0)
    book = EMACodebook(2048, 4, 0.25)
    for step in range(3):
        latents = 30 * drawn(step, 1, 4, 16, 16, 16)
        book.update(latents, book(latents).indices, generator(step))
    for tensor in book.state_dict().values():
        halved = tensor.half().float()
        assert halved.isfinite().all()
        torch.testing.assert_close(halved, tensor, rtol=2e-3, atol=1e-6)


def test_perplexity_counts_codes_in_equal_use():
    assert perplexity(torch.full((8,), 1 / 8)) == pytest.approx(8)
    assert perplexity(torch.tensor([0.0, 5.0, 0.0])) == pytest.approx(1)
    assert perplexity(torch.tensor([0.5, 0.25, 0.25])) == pytest.approx(2**1.5)
    assert perplexity(torch.zeros(4)) == 0


def test_two_devices_learn_what_one_would(tmp_path):
    """Each of two processes has half of the latents; both end with the codes of the whole."""
    latents = drawn(7, 2, 3, 40)
    whole = filled()
    indices = whole(latents).indices
    whole.update(latents, indices, generator())
    context = torch.multiprocessing.get_context("fork")
    queue = context.Queue()
    arguments = [(rank, str(tmp_path / "store"), latents[rank : rank + 1], queue) for rank in range(2)]
    processes = [context.Process(target=_learn_half, args=each) for each in arguments]
    for process in processes:
        process.start()
    answers = [queue.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(timeout=60)
    for codes in answers:
        np.testing.assert_allclose(codes, whole.codes.numpy(), rtol=1e-5, atol=1e-6)


def _learn_half(rank, store, latents, queue):
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    book = filled()
    book.update(latents, book(latents).indices, generator())
    queue.put(book.codes.numpy())
    torch.distributed.destroy_process_group()
