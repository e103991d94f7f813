import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from medsmith.diffusion import NoiseSchedule, Sampling
from medsmith.errors import RequestError
from medsmith.methods.config import (
    DiffusionConfig,
    Size,
    TrainingConfig,
    apply_settings,
    check_settings,
    explain,
    validated,
)


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    size: Size = (64, 64)
    diffusion: DiffusionConfig = DiffusionConfig(length=500)
    training: TrainingConfig = TrainingConfig(steps=70, batch=3)
    sampling: Sampling = Sampling()


class Listed(BaseModel):
    names: tuple[str | int, ...] = ()


class Nothing(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


START = Settings()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('["kidney cyst","tumor"]', ("kidney cyst", "tumor")),
        ("[kidney cyst, tumor]", ("kidney cyst", "tumor")),
        ("[tumor]", ("tumor",)),
        ("[]", ()),
    ],
)
def test_names_in_a_list_need_no_quotes(text, names):
    assert apply_settings(Listed(), [f"names={text}"]).names == names


@pytest.mark.parametrize("text", ["[tumor", "tumor", '["tumor]', "[[tumor]]", "[a,]"])
def test_what_is_no_list_of_names_stays_text_and_is_refused(text):
    with pytest.raises(RequestError, match="must be a list"):
        apply_settings(Listed(), [f"names={text}"])


@pytest.mark.parametrize(
    ("assignment", "place", "value"),
    [
        ("training.batch=8", ("training", "batch"), 8),
        (" training.batch = 8", ("training", "batch"), 8),
        ("training.learning_rate=1e-4", ("training", "learning_rate"), 1e-4),
        ("size=[32,32,16]", ("size",), (32, 32, 16)),
        ("diffusion.schedule=linear", ("diffusion", "schedule"), "linear"),
        ('diffusion.schedule="linear"', ("diffusion", "schedule"), "linear"),
        ("diffusion.clamp=null", ("diffusion", "clamp"), None),
        ("sampling.solver=dpm++2m", ("sampling", "solver"), "dpm++2m"),
        ("training.flips=[]", ("training", "flips"), ()),
        ("training.betas=[0.5,0.9]", ("training", "betas"), (0.5, 0.9)),
    ],
)
def test_one_key_is_changed_and_no_other(assignment, place, value):
    after = apply_settings(START, [assignment])
    found = after
    for name in place:
        found = getattr(found, name)
    assert found == value
    expected = START.model_dump()
    section = expected
    for name in place[:-1]:
        section = section[name]
    section[place[-1]] = value
    assert after.model_dump() == expected


def test_a_section_given_whole_keeps_the_keys_it_does_not_name():
    after = apply_settings(START, ['training={"batch": 9, "ema": 0.5}'])
    assert after.training == START.training.model_copy(update={"batch": 9, "ema": 0.5})


def test_later_settings_win_and_none_leave_all_as_it_was():
    assert apply_settings(START, []) == START
    assert apply_settings(START, ["training.batch=8", "training.batch=9"]).training.batch == 9
    both = apply_settings(START, ["sampling.stochasticity=0.5", "sampling.solver=ddim"])
    assert both.sampling == Sampling(solver="ddim", stochasticity=0.5)
    assert START.training.batch == 3


@pytest.mark.parametrize(
    ("assignment", "line"),
    [
        ("training.batch", "--set: 'training.batch' is not key=value; write training.batch=8, say"),
        ("=8", "--set: '=8' is not key=value; write training.batch=8, say"),
        ("batch=8", "--set: unknown key 'batch'; nearest: training.batch"),
        ("training.batches=8", "--set: unknown key 'training.batches'; nearest: training.batch, training."),
        ("training.batch.x=8", "--set: unknown key 'training.batch.x'; nearest: training.batch, training."),
        ("trainig.batch=8", "--set: unknown key 'trainig.batch'; nearest: training.batch"),
        ("size.x=8", "--set: unknown key 'size.x'; nearest: size"),
        ("qqqq.zzzz=1", "--set: unknown key 'qqqq.zzzz'; there are size, diffusion, training, sampling"),
        ("training.batch=0", "--set: training.batch = 0; must be greater than or equal to 1"),
        ("training.batch=8.5", "--set: training.batch = 8.5; must be a valid integer"),
        ("training.batch=", '--set: training.batch = ""; must be a valid integer'),
        ("training.learning_rate=Infinity", "--set: training.learning_rate = Infinity; must be a finite"),
        ("training.learning_rate=NaN", "--set: training.learning_rate = NaN; must be a finite"),
        ("training.ema=1", "--set: training.ema = 1; must be less than 1"),
        ("training.betas=[0.9,1]", "--set: training.betas.1 = 1; must be less than 1"),
        ("training.flips=[0,0]", "--set: training: flips = [0, 0] names an axis twice"),
        ("training.flips=[-1]", "--set: training.flips.0 = -1; must be greater than or equal to 0"),
        ("training=5", "--set: training = 5; must be an object"),
        ("training.precision=float16", "--set: training.precision = \"float16\"; must be 'measured', "),
        ("size=[64]", "--set: size = [64]; must have at least 2 entries"),
        ("size=[1000000000000000000000,32]", "--set: size.0 = 1000000000000000000000; must be less than or equal to"),
        ("size=" + "[" * 3000, '--set: size = "[[['),
        ("size=[64,0]", "--set: size.1 = 0; must be greater than or equal to 1"),
        ("size=[2,2,2,2]", "--set: size = [2, 2, 2, 2]; must have at most 3 entries"),
        ("diffusion.clamp=-1", "--set: diffusion.clamp = -1; must be greater than 0"),
        ("diffusion.length=0", "--set: diffusion.length = 0; must be greater than or equal to 1"),
        ("diffusion.min_snr=0", "--set: diffusion.min_snr = 0; must be greater than 0"),
        ("sampling.stochasticity=2", "--set: sampling.stochasticity = 2; must be less than or equal to 1"),
        ("sampling.solver=heun", "--set: sampling.solver = \"heun\"; must be 'ddpm', 'ddim', 'dpm++2m' or "),
    ],
)
def test_a_setting_that_cannot_be_is_refused_in_one_line(assignment, line):
    with pytest.raises(RequestError) as refusal:
        apply_settings(START, [assignment])
    assert refusal.value.line.startswith(line)
    assert "\n" not in refusal.value.line
    assert refusal.value.exit_code == 2


def test_noise_prediction_on_rectified_flow_is_refused_before_training():
    with pytest.raises(RequestError) as refusal:
        apply_settings(START, ["diffusion.schedule=rectified_flow", "diffusion.prediction=noise"])
    assert refusal.value.line == (
        "--set: diffusion: rectified flow ends in pure noise: predict velocity or clean, not noise"
    )


@pytest.mark.parametrize("values", [[1], None, "text", 3])
def test_values_that_are_no_object_are_refused(values):
    with pytest.raises(RequestError) as refusal:
        validated(Settings, "run.json", values)
    assert refusal.value.line.startswith(f"run.json: {json.dumps(values)}; must be an object")


def test_a_long_value_is_cut_short():
    with pytest.raises(RequestError) as refusal:
        validated(Settings, "run.json", {"size": list(range(1, 1000))})
    assert len(refusal.value.line) < 160


def test_a_request_that_takes_nothing_says_so():
    with pytest.raises(RequestError) as refusal:
        validated(Nothing, "request", {"lesions": 3})
    assert refusal.value.line == "request: unknown key 'lesions'; nothing can be asked for here"


@given(st.dictionaries(st.text(max_size=8), st.none() | st.integers() | st.text(max_size=8) | st.floats(), max_size=3))
def test_any_values_are_taken_or_explained_in_one_line(values):
    try:
        Settings.model_validate(values)
    except ValidationError as error:
        line = explain(Settings, "request.json", error).line
        assert line.startswith("request.json: ")
        assert line.isprintable()
        assert len(line) < 400


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": TrainingConfig(flips=(0, 2))}, r"training.flips = \[0, 2\]: the axes of size \[64, 64\]"),
        ({"sampling": Sampling(steps=501)}, "501 steps: a schedule of 500 times allows 1 to 500"),
        ({"sampling": Sampling(solver="euler")}, "euler follows straight paths"),
        ({"sampling": Sampling(stochasticity=0.5)}, "stochasticity belongs to ddim"),
        (
            {
                "diffusion": DiffusionConfig(schedule="rectified_flow"),
                "sampling": Sampling(solver="ddpm"),
            },
            "rectified flow is deterministic",
        ),
    ],
)
def test_sections_that_cannot_work_together_are_refused(changes, message):
    sections = {name: getattr(START, name) for name in Settings.model_fields} | changes
    with pytest.raises(ValueError, match=message):
        check_settings(**sections)


def test_sections_that_work_together_pass():
    flow = DiffusionConfig(schedule="rectified_flow", length=20)
    check_settings((8, 8, 8), flow, TrainingConfig(flips=(0, 1, 2)), Sampling(solver="euler", steps=20))
    check_settings(**{name: getattr(START, name) for name in Settings.model_fields})


def test_size_is_2d_or_3d():
    size = TypeAdapter(Size)
    assert size.validate_python([4, 5]) == (4, 5)
    assert size.validate_python((4, 5, 6)) == (4, 5, 6)


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "cosine", "rectified_flow"])
def test_the_config_names_the_schedule_it_builds(schedule):
    built = DiffusionConfig(schedule=schedule, length=17).process().schedule
    named = getattr(NoiseSchedule, schedule)(17)
    assert torch.equal(built.signal, named.signal)
    assert torch.equal(built.noise, named.noise)
    assert built.straight == named.straight


def test_a_config_survives_its_json():
    config = apply_settings(START, ["diffusion.clamp=null", "size=[8,8,8]", "training.flips=[0,2]"])
    assert validated(Settings, "run.json", json.loads(config.model_dump_json())) == config


# --- What networks minimize ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("time_draw", ["uniform", "antithetic"])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_times_are_drawn_by_the_generator_within_the_schedule(time_draw, count):
    process = DiffusionConfig(length=50, time_draw=time_draw).process()
    once, again = (process.times(count, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(once, again)
    assert once.shape == (count,)
    many = process.times(20_000, torch.Generator().manual_seed(4))
    assert torch.bincount(many, minlength=50).min() > 300  # 400 each, give or take
    assert len(torch.bincount(many)) == 50


def test_antithetic_times_mirror_each_other():
    t = DiffusionConfig(length=50, time_draw="antithetic").process().times(8, torch.Generator().manual_seed(3))
    assert torch.equal(t[:4] + t[4:], torch.full((4,), 49))


def test_noise_takes_the_precision_of_what_it_is_for():
    like = torch.zeros(2, 1, 4, 4, dtype=torch.float64)
    noised = (
        DiffusionConfig().process().noised(like, torch.Generator().manual_seed(3), torch.zeros(2, dtype=torch.long))
    )
    assert noised.noise.dtype == torch.float64
    assert torch.equal(noised.noise.float(), torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(3)))


@pytest.mark.parametrize("prediction", ["noise", "velocity", "clean"])
@pytest.mark.parametrize("min_snr", [None, 5.0])
def test_the_error_is_that_of_the_formula(prediction, min_snr):
    process = DiffusionConfig(length=40, prediction=prediction, min_snr=min_snr).process()
    schedule = process.schedule
    generator = torch.Generator().manual_seed(1)
    clean, noise, answer = (torch.randn(3, 2, 4, 5, generator=generator) for _ in range(3))
    weight = torch.rand(3, 1, 4, 5, generator=generator)
    noised = schedule.add_noise(clean, noise, torch.tensor([2, 20, 38]))
    squares = (answer - schedule.target(noised, prediction)) ** 2 * weight
    of_case = torch.ones(3) if min_snr is None else schedule.loss_weight(noised.t, prediction, min_snr)
    expected = (squares * of_case.reshape(3, 1, 1, 1)).mean()
    torch.testing.assert_close(process.loss(answer, noised, weight), expected)
    perfect = process.loss(schedule.target(noised, prediction), noised)
    assert perfect == 0
    absolute = ((answer - schedule.target(noised, prediction)).abs() * of_case.reshape(3, 1, 1, 1)).mean()
    torch.testing.assert_close(process.loss(answer, noised, norm="l1"), absolute)


def test_a_half_precision_answer_is_compared_in_single():
    process = DiffusionConfig(length=40).process()
    clean, noise = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    noised = process.schedule.add_noise(clean, noise, torch.tensor([20]))
    error = process.loss(torch.zeros(1, 1, 2, 2, dtype=torch.bfloat16), noised)
    assert error.dtype == torch.float32
