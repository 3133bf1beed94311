"""Every channel: reciprocal, seeded, independent of other links; each against its formula worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from meshtune.errors import UserError
from meshtune.wireless.channel import Channel, open_channel
from meshtune.wireless.channels.urban import Urban, los_probability, path_loss_db
from meshtune.wireless.config import LogDistanceConfig, RadioConfig, UrbanConfig
from meshtune.wireless.registry import CHANNELS, check_channel

PAIRS = np.array([(a, b) for a in range(60) for b in range(a + 1, 60)])
A, B = PAIRS.T
DISTANCE = np.random.default_rng(0).uniform(1, 900, len(A))


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    file = tmp_path / "trace.csv"
    rows = [f"{at},{b},{a},{-60 - a - b / 10 - at}" for at in (1, 2, 3) for a, b in PAIRS]
    file.write_text("\n".join(["round,a,b,gain_db", *rows]) + "\n", encoding="utf-8")
    return file


def opened(name: str, trace: Path, seed: int = 1, fading: str = "rayleigh") -> Channel:
    config = {"channel": name, "fading": fading, **({"trace": str(trace)} if name == "trace" else {})}
    return open_channel(RadioConfig.model_validate(config), seed)


@pytest.mark.parametrize("name", CHANNELS)
def test_both_ends_see_the_same_whatever_is_asked_for_beside(name: str, trace: Path) -> None:
    channel = opened(name, trace)
    mean, now = channel.mean_gain(DISTANCE, A, B), channel.gain(2, DISTANCE, A, B)
    assert (mean > 0).all()
    assert (channel.mean_gain(DISTANCE, B, A) == mean).all()
    assert (channel.gain(2, DISTANCE, B, A) == now).all()
    some = np.array([700, 3, 41])
    assert (channel.gain(2, DISTANCE[some], A[some], B[some]) == now[some]).all()
    assert (opened(name, trace).gain(2, DISTANCE, A, B) == now).all()
    assert (now == channel.fading(2, A, B) * mean).all()
    assert not (channel.gain(3, DISTANCE, A, B) == now).all()
    still = opened(name, trace, fading="none")
    assert (still.gain(2, DISTANCE, A, B) == mean).all()


@pytest.mark.parametrize("name", [name for name in CHANNELS if name != "trace"])
def test_models_follow_the_seed_and_refuse_no_distance(name: str, trace: Path) -> None:
    channel = opened(name, trace)
    assert not np.isin(channel.fading(1, A, B), opened(name, trace, seed=2).fading(1, A, B)).any()
    for wrong, said in ((0.0, "0 m"), (-1.0, "-1 m"), (np.nan, "nan m")):
        distance = DISTANCE.copy()
        distance[5] = wrong
        with pytest.raises(UserError, match=f"devices {A[5]} and {B[5]} are {said} apart: a link needs a distance"):
            channel.mean_gain(distance, A, B)
    channel.check_rounds(10**6)


def test_rayleigh_fading_is_exponential_with_mean_one(trace: Path) -> None:
    channel = opened("paper", trace)
    rho = np.concatenate([channel.fading(at, A, B) for at in range(1, 21)])
    assert stats.kstest(rho, "expon").pvalue > 0.001
    assert (rho > 0).all()


def test_the_papers_gain(trace: Path) -> None:
    found = opened("paper", trace).mean_gain(np.array([1.0, 10.0, 500.0]), A[:3], B[:3])
    assert found.tolist() == pytest.approx([1, 1e-2, 4e-6], rel=1e-12)  # 54 dB at 500 m


def test_log_distance_by_hand() -> None:
    own = LogDistanceConfig(reference_loss_db=40, reference_distance=2, exponent=3, shadowing_db=0)
    channel = open_channel(RadioConfig(channel="log_distance", log_distance=own), 1)
    # 40 dB at 2 m and nearer; 30 dB more each decade.
    found = channel.mean_gain(np.array([0.5, 2.0, 20.0, 200.0]), A[:4], B[:4])
    assert found.tolist() == pytest.approx([1e-4, 1e-4, 1e-7, 1e-10], rel=1e-12)


def test_shadowing_is_log_normal_and_fixed_for_a_pair() -> None:
    channel = open_channel(RadioConfig(channel="log_distance", log_distance=LogDistanceConfig(shadowing_db=8)), 1)
    shadow = -10 * np.log10(channel.mean_gain(np.ones(len(A)), A, B)) - 40
    assert stats.kstest(shadow / 8, "norm").pvalue > 0.001
    again = -10 * np.log10(channel.mean_gain(np.full(len(A), 100.0), A, B)) - 100
    assert again == pytest.approx(shadow, abs=1e-9)


def test_urban_loss_by_hand() -> None:
    # At 2 GHz the breakpoint is at 4 * 0.8 * 0.8 * 2e9 / 3e8 = 17.07 m.
    yes, no = np.array([True]), np.array([False])
    # 10 m, in sight: 22.7 + 27 + 6.021 = 55.72; free space 20 + 46.4 - 7.959 = 58.44 is more.
    assert path_loss_db(np.array([10.0]), 2e9, yes) == pytest.approx(58.4412, abs=1e-3)
    # 100 m, in sight: 80 + 7.56 + 34.6 * 0.09691 + 2.7 * 0.30103 = 91.726.
    assert path_loss_db(np.array([100.0]), 2e9, yes) == pytest.approx(91.7259, abs=1e-3)
    # 100 m, out of sight: 2 * 43.7466 + 5.83 * 0.17609 + 18.38 + 23 * 0.30103 - 5 = 108.824.
    assert path_loss_db(np.array([100.0]), 2e9, no) == pytest.approx(108.8235, abs=1e-3)
    # 2 m: free space, 6.0206 + 38.4412.
    assert path_loss_db(np.array([2.0]), 2e9, no) == pytest.approx(44.4618, abs=1e-3)
    # 700 MHz, 100 m, out of sight: 87.4932 + 1.0266 + 16.33 + 26.16 * log10(0.7) - 5 = 95.798.
    assert path_loss_db(np.array([100.0]), 0.7e9, no) == pytest.approx(95.7976, abs=1e-3)


@pytest.mark.parametrize("carrier", [1.5e9, 2e9])
def test_urban_bands_meet(carrier: float) -> None:
    no = np.array([False])
    below, above = (path_loss_db(np.array([200.0]), carrier + step, no) for step in (-1.0, 0.0))
    assert below == pytest.approx(above, abs=0.02)


def test_urban_sight() -> None:
    near = np.array([0.1, 18.0])
    assert los_probability(near) == pytest.approx(1)
    # At 36 m: 0.5 (1 - 1/e) + 1/e = 0.684.
    assert los_probability(np.array([36.0])) == pytest.approx(0.68394, abs=1e-5)
    channel = Urban(RadioConfig(channel="urban", urban=UrbanConfig(shadowing_db=0)), 1)
    at = np.full(len(A), 36.0)
    sight = channel.line_of_sight(at, A, B)
    assert sight.mean() == pytest.approx(0.684, abs=4 * np.sqrt(0.684 * 0.316 / len(A)))
    # Whoever sees at 60 m sees at 36 m: one draw for the run.
    assert (channel.line_of_sight(np.full(len(A), 60.0), A, B) <= sight).all()
    loss = -10 * np.log10(channel.mean_gain(at, A, B))
    assert loss == pytest.approx(path_loss_db(at, 2e9, sight), abs=1e-9)


def test_urban_receives_no_more_than_was_sent() -> None:
    channel = open_channel(RadioConfig(channel="urban", urban=UrbanConfig(shadowing_db=20)), 1)
    assert channel.mean_gain(np.full(len(A), 0.05), A, B).max() == 1


def test_a_trace_gives_back_what_was_recorded(trace: Path) -> None:
    channel = opened("trace", trace)
    for at in (1, 2, 3):
        recorded = 10 ** ((-60 - A - B / 10 - at) / 10)
        assert channel.gain(at, DISTANCE, A, B) == pytest.approx(recorded, rel=1e-12)
    mean = 10 ** ((-60 - A - B / 10) / 10) * (10**-0.1 + 10**-0.2 + 10**-0.3) / 3
    assert channel.mean_gain(DISTANCE, A, B) == pytest.approx(mean, rel=1e-12)
    channel.check_rounds(3)


def test_who_is_not_heard_has_no_gain(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("gain_db,b,a,round\n-60,1,0,1\n-70,2,1,2\n", encoding="utf-8")
    channel = open_channel(RadioConfig(channel="trace", trace=str(file)), 0)
    a, b, apart = np.array([0, 1, 7]), np.array([1, 2, 9]), np.ones(3)
    assert channel.mean_gain(apart, a, b) == pytest.approx([5e-7, 5e-8, 0])
    assert channel.gain(1, apart, a, b) == pytest.approx([1e-6, 0, 0])
    assert channel.gain(2, apart, a, b) == pytest.approx([0, 1e-7, 0])


HEAD = "round,a,b,gain_db\n"


@pytest.mark.parametrize(
    "text, message",
    [
        ("round,a,b,loss\n", "the first line of FILE is round,a,b,loss: it must name the columns round,a,b,gain_db"),
        (HEAD, "FILE holds no gains: it needs a line for every round and link"),
        (HEAD + "1,0,1,loud\n", "line 2 of FILE: gain_db=loud is not a finite number"),
        (HEAD + "1,0,b,-60\n", "line 2 of FILE: b=b is not a whole number from 0 to 2147483647"),
        (HEAD + "1,3,3,-60\n", "line 2 of FILE links device 3 to itself: take it out"),
        (HEAD + "1,0,1,60\n", "line 2 of FILE: gain_db=60 is a gain above 1: a path loss of 60 dB is -60"),
        (
            HEAD + "1,0,1,-60\n1,1,0,-61\n",
            "line 3 of FILE has devices 0 and 1 a second time in round 1: a line holds for both directions, so keep "
            "one",
        ),
        (HEAD + "1,0,1,-60\n3,0,1,-60\n", "FILE has no line of round 2: rounds must follow one another"),
        (
            HEAD + "1,0,1,-60\n2,0,1,-60\n",
            "FILE covers 2 rounds, 1 to 2, and round 4 is needed: record more rounds or run fewer",
        ),
        (HEAD + "2,0,1,-60\n", "FILE covers 1 round, 2 to 2, and round 1 is needed: record more rounds or run fewer"),
    ],
)
def test_a_wrong_trace_is_one_sentence(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        open_channel(RadioConfig(channel="trace", trace=str(file)), 0).check_rounds(4)
    assert str(caught.value) == message.replace("FILE", str(file))


def test_a_round_behind_the_trace(trace: Path) -> None:
    with pytest.raises(UserError, match="covers 3 rounds, 1 to 3, and round 4 is needed"):
        opened("trace", trace).gain(4, DISTANCE, A, B)


def test_an_unknown_channel() -> None:
    with pytest.raises(UserError, match="there is no channel called urbn: did you mean urban"):
        check_channel("urbn")
    with pytest.raises(UserError, match="choose from paper, log_distance, urban, trace"):
        check_channel("x")
