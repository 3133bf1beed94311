"""Recorded gains: given back as they were recorded, and every way in which a file of them can be wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from channels import DISTANCE, A, B, opened
from meshtune.errors import UserError
from meshtune.wireless.channel import open_channel
from meshtune.wireless.config import RadioConfig


def test_a_trace_gives_back_what_was_recorded(trace: Path) -> None:
    channel = opened("trace", trace)
    for at in (1, 2, 3):
        recorded = 10 ** ((-60 - A - B / 10 - at) / 10)
        assert channel.gain(at, DISTANCE, A, B) == pytest.approx(recorded, rel=1e-12, abs=0)
    mean = 10 ** ((-60 - A - B / 10) / 10) * (10**-0.1 + 10**-0.2 + 10**-0.3) / 3
    assert channel.mean_gain(DISTANCE, A, B) == pytest.approx(mean, rel=1e-12, abs=0)
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
