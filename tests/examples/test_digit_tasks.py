"""Each task of the digit zoo asks what it says, the same way for the same generator."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor

pytest.importorskip("sklearn", reason="the digit zoo needs the extra [demo]")

from examples.digits.data import SIDE_PX, load_digits
from examples.digits.encoder import Encoder, build_head, code_of
from examples.digits.fit import as_pixels
from examples.digits.tasks import HOLE_PX, JIGSAW_ORDERS, NOISE_STD, TASKS, Examples

COUNT = 48


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    return as_pixels(load_digits("train"))[:COUNT]


@pytest.fixture(scope="module")
def labels() -> Tensor:
    return torch.from_numpy(load_digits("train").labels_N[:COUNT])


@pytest.fixture
def ask(pictures: Tensor, labels: Tensor):
    def examples(name: str, seed: int = 0) -> Examples:
        return TASKS[name].examples(pictures, labels, Generator().manual_seed(seed))

    return examples


@pytest.mark.parametrize("name", TASKS)
def test_examples_have_the_task_s_shapes(name: str, ask):
    task, examples = TASKS[name], ask(name)
    assert examples.inputs.shape == (COUNT, 1, SIDE_PX, SIDE_PX)
    assert examples.inputs.dtype == torch.float32
    assert examples.inputs.min() >= 0
    assert examples.inputs.max() <= 1
    code = code_of(Encoder().eval(), examples.inputs)
    answers = build_head(task.num_classes)(code)
    if task.num_classes is None:
        assert examples.targets.shape == answers.shape == (COUNT, 1, SIDE_PX, SIDE_PX)
    else:
        assert examples.targets.shape == (COUNT,)
        assert answers.shape == (COUNT, task.num_classes)
        assert set(examples.targets.tolist()) <= set(range(task.num_classes))
    assert torch.isfinite(task.loss(answers, examples.targets))


@pytest.mark.parametrize("name", TASKS)
def test_examples_follow_the_generator_alone(name: str, ask):
    first = ask(name)
    torch.manual_seed(123)
    again = ask(name)
    assert torch.equal(first.inputs, again.inputs)
    assert torch.equal(first.targets, again.targets)


@pytest.mark.parametrize("name", ["rotation", "mirror", "jigsaw", "denoise", "inpaint"])
def test_chance_changes_the_inputs(name: str, ask):
    assert not torch.equal(ask(name, seed=0).inputs, ask(name, seed=1).inputs)


def test_tasks_differ_from_each_other(ask):
    """No two tasks show the same inputs and want the same answers."""
    asked = [(e.inputs.numpy().tobytes(), e.targets.numpy().tobytes()) for e in map(ask, TASKS)]
    assert len(set(asked)) == len(TASKS) >= 8


def test_class10_and_parity_ask_for_the_digit(ask, labels: Tensor):
    assert torch.equal(ask("class10").targets, labels)
    assert torch.equal(ask("parity").targets, labels.remainder(2))


def test_rotation_undone_is_the_picture(ask, pictures: Tensor):
    examples = ask("rotation")
    assert examples.targets.unique().tolist() == [0, 1, 2, 3]
    for picture, shown, turns in zip(pictures, examples.inputs, examples.targets, strict=True):
        assert torch.equal(shown.rot90(-int(turns), (1, 2)), picture)


def test_mirror_undone_is_the_picture(ask, pictures: Tensor):
    examples = ask("mirror")
    assert examples.targets.unique().tolist() == [0, 1]
    for picture, shown, mirrored in zip(pictures, examples.inputs, examples.targets, strict=True):
        assert torch.equal(shown.flip(2) if mirrored else shown, picture)


def test_jigsaw_undone_is_the_picture(ask, pictures: Tensor):
    examples = ask("jigsaw")
    half = SIDE_PX // 2
    places = [(0, 0), (0, half), (half, 0), (half, half)]
    for picture, shown, order in zip(pictures, examples.inputs, examples.targets, strict=True):
        laid = torch.zeros_like(picture)
        for (y, x), quarter in zip(places, JIGSAW_ORDERS[int(order)], strict=True):
            to_y, to_x = places[quarter]
            laid[:, to_y : to_y + half, to_x : to_x + half] = shown[:, y : y + half, x : x + half]
        assert torch.equal(laid, picture)


def test_denoise_wants_the_clean_picture(ask, pictures: Tensor):
    examples = ask("denoise")
    assert torch.equal(examples.targets, pictures)
    inside = (examples.inputs > 0) & (examples.inputs < 1) & (pictures > 0.4) & (pictures < 0.6)
    noise = (examples.inputs - pictures)[inside]
    assert 0.1 < noise.std() < NOISE_STD


def test_inpaint_hides_one_square(ask, pictures: Tensor):
    examples = ask("inpaint")
    assert torch.equal(examples.targets, pictures)
    for picture, shown in zip(pictures[:, 0], examples.inputs[:, 0], strict=True):
        changed = (shown != picture).nonzero()
        low, high = changed.min(0).values, changed.max(0).values
        assert (high - low < HOLE_PX).all()
        assert (shown[tuple(changed.T)] == 0.5).all()
        assert len(changed) > 0.9 * HOLE_PX**2


def test_deblur_shows_a_blurred_picture_of_the_same_ink(ask, pictures: Tensor):
    examples = ask("deblur")
    assert torch.equal(examples.targets, pictures)
    flat = TASKS["deblur"].examples(torch.ones(1, 1, 32, 32), torch.zeros(1), Generator())
    assert flat.inputs[0, 0, 16, 16].item() == pytest.approx(1, abs=1e-4)
    assert examples.inputs.var() < 0.7 * pictures.var()


def test_edges_of_a_border_read_one_on_it_and_nothing_beside():
    picture = torch.zeros(1, 1, SIDE_PX, SIDE_PX)
    picture[..., 16:] = 1
    edges = TASKS["edges"].examples(picture, torch.zeros(1), Generator()).targets
    assert torch.allclose(edges[..., 15:17], torch.ones(1, 1, SIDE_PX, 2))
    assert edges[..., :15].abs().max() == edges[..., 17:].abs().max() == 0


def test_segment_wants_the_ink(ask, pictures: Tensor):
    assert torch.equal(ask("segment").targets, (pictures > 0.5).float())
