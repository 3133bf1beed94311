"""Recorded gains, from a CSV file with the columns round, a, b, gain_db: measurements instead of a model.

A line applies to both directions of its pair. A pair missing from a round was not heard in it and has gain 0. The mean
gain is the mean over all rounds, and the fading is a round's gain divided by it; their product is the recorded gain.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from meshtune.errors import UserError
from meshtune.wireless.arrays import Floats, Ints
from meshtune.wireless.channel import Channel, ordered
from meshtune.wireless.config import RadioConfig
from meshtune.wireless.csv_tables import number, read_table, whole

WEAKEST = -400.0
"""Minimum dB of a recorded gain; anything weaker counts as not heard."""


class Trace(Channel):
    """Settings: ``radio.trace``, the file. Distances do not matter.

    Raises:
        UserError: the file is missing or has other columns; a cell is not a number; a device is linked to itself; a
            pair appears twice in a round; a gain is above 0 dB; rounds in between are missing; or there is no line.
    """

    def __init__(self, config: RadioConfig, seed: int) -> None:
        super().__init__(config, seed)
        self._path = Path(config.trace or "")
        found: dict[tuple[int, int], float] = {}  # (round, code of the pair) -> gain
        for line, (round_, a, b, gain) in read_table(self._path, ("round", "a", "b", "gain_db")):
            at = whole(round_, "round", line, self._path)
            ends = sorted((whole(a, "a", line, self._path), whole(b, "b", line, self._path)))
            db = number(gain, "gain_db", line, self._path, WEAKEST, math.inf)
            where = f"line {line} of {self._path}"
            if ends[0] == ends[1]:
                raise UserError(f"{where} links device {ends[0]} to itself: take it out")
            if db > 0:
                raise UserError(f"{where}: gain_db={db:g} is a gain above 1: a path loss of {db:g} dB is {-db:g}")
            code = (at, (ends[0] << 32) | ends[1])
            if code in found:
                raise UserError(
                    f"{where} has devices {ends[0]} and {ends[1]} a second time in round {at}: a line holds for both "
                    "directions, so keep one"
                )
            found[code] = 10 ** (db / 10)
        if not found:
            raise UserError(f"{self._path} holds no gains: it needs a line for every round and link")
        rounds = {at for at, _ in found}
        self._first, self._last = min(rounds), max(rounds)
        if len(rounds) != self._last - self._first + 1:
            gap = next(at for at in range(self._first, self._last) if at not in rounds)
            raise UserError(f"{self._path} has no line of round {gap}: rounds must follow one another")
        self._codes = np.array(sorted({code for _, code in found}), dtype=np.int64)
        self._gains = np.zeros((len(rounds), len(self._codes)))
        at_, code_ = np.array(list(found), dtype=np.int64).T
        self._gains[at_ - self._first, np.searchsorted(self._codes, code_)] = list(found.values())
        self._mean = self._gains.mean(axis=0)

    def mean_gain(self, distance: Floats, a: Ints, b: Ints) -> Floats:
        return self._of_pairs(self._mean, a, b)

    def fading(self, round_: int, a: Ints, b: Ints) -> Floats:
        self._check_round(round_)
        if self.config.fading == "none":
            return np.ones(len(a))
        return self._of_pairs(self._gains[round_ - self._first] / self._mean, a, b)

    def check_rounds(self, rounds: int) -> None:
        self._check_round(1)
        self._check_round(rounds)

    def _check_round(self, round_: int) -> None:
        if not self._first <= round_ <= self._last:
            covered = self._last - self._first + 1
            raise UserError(
                f"{self._path} covers {covered} round{'s' * (covered > 1)}, {self._first} to {self._last}, and round "
                f"{round_} is needed: record more rounds or run fewer"
            )

    def _of_pairs(self, values: Floats, a: Ints, b: Ints) -> Floats:
        low, high = ordered(a, b)
        code = (low.astype(np.int64) << 32) | high
        at = np.minimum(np.searchsorted(self._codes, code), len(self._codes) - 1)
        found: Floats = np.where(self._codes[at] == code, values[at], 0.0)
        return found


CHANNEL = Trace
