"""Error messages for the user when training diverges or a device refuses a message."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from meshtune.config.run_config import RunConfig
from meshtune.errors import DivergedError, PayloadError, UserError
from meshtune.methods.base import Method

SAFE = {"sparse": 3e-3, "lora": 1e-3, "core": 1e-2, "full": 1e-4}
"""Per kind of expert, a learning rate that is safe for a base model of usual width."""


@contextmanager
def explained(config: RunConfig, method: Method, round_: int) -> Iterator[None]:
    """Turn errors in the exchange of a round into messages that a user can act on.

    Raises:
        DivergedError: names method, device, round and a remedy.
        UserError: replaces a PayloadError.
    """
    try:
        yield
    except DivergedError as error:
        raise diverged(config, method, error.number, round_, error.what) from error
    except PayloadError as error:
        raise refused(f"{method.name} stopped in round {round_}", error) from error


def diverged(config: RunConfig, method: Method, device: int, round_: int, what: str) -> DivergedError:
    """Return the error of a device whose training diverged."""
    where = f"{method.name} diverged on device {device} in round {round_}, {what}"
    return DivergedError(what, device, f"{where}: {remedy(config, method)}")


def remedy(config: RunConfig, method: Method | None) -> str:
    """Return how to run again so that ``method`` (None: the frozen model) does not overflow."""
    again = "settings of a run's folder are fixed: run the same configuration in another folder (`out`) with"
    wider = "" if config.model.dtype in ("float32", "bfloat16") else "the setting `model.dtype=float32`"
    if method is None:
        return f"{again} {wider or 'the setting `model.dtype=float32`'}"
    lower: dict[str, float] = {}
    for kind in method.kind.rates:
        key, rate = config.train.key(kind, method.name), min(config.train.peak(kind, method.name) / 10, SAFE[kind])
        lower[key] = min(rate, lower.get(key, rate))
    settings = " and ".join(f"the setting `{key}={rate:.0e}`" for key, rate in lower.items())
    return " and ".join(filter(None, [f"{again} {settings}", wider]))


@contextmanager
def handshake_errors() -> Iterator[None]:
    """Turn a message refused before the first round into a user error.

    Raises:
        UserError: replaces a PayloadError.
    """
    try:
        yield
    except PayloadError as error:
        raise refused("the handshake between devices failed", error) from error


def refused(what: str, error: PayloadError) -> UserError:
    """Return the error for a message refused within this very run, which means that something is broken."""
    return UserError(
        f"{what}, a device refused a message ({error}): repeat the same command, which resumes after the last "
        "finished round, and report it if it recurs"
    )
