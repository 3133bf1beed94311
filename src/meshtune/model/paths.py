"""Which fast paths a base model may use: the verdict of :mod:`meshtune.model.probes.probing`.

A fast path that does not reproduce the model's output for a single row is not used, and a run says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

Reading = Literal["stream", "padded", "alone"]
READINGS: tuple[Reading, ...] = get_args(Reading)


@dataclass(frozen=True)
class Paths:
    """The fast paths that one base may use.

    Attributes:
        read: how several rows are read: as one stream without padding, in a padded rectangle, or one after the other.
        beside: whether options of a question are read side by side after one shared prompt.
        threads: whether several passes may run at a time.
        cache: whether keys and values are cached while an answer is written.
        linear: whether logits are the output layer's product, times ``scale``, under the soft cap ``cap``; else the
            model's own code computes them.
        scale: the factor of the product.
        cap: c of c tanh(l / c); None for no cap.
        whole: whether even that code cannot be called separately, so that each pass computes all logits.
        reach: the longest row, in tokens, that may be read: beyond it the model behaves differently, at a length too
            long to test; None for as many as the model has positions.
        left_out: linear layers that cannot be adapted, by their full names.
    """

    read: Reading = "stream"
    beside: bool = True
    threads: bool = True
    cache: bool = True
    linear: bool = True
    scale: float = 1.0
    cap: float | None = None
    whole: bool = False
    reach: int | None = None
    left_out: tuple[str, ...] = ()

    def notes(self) -> list[str]:
        """Return a sentence for every fast path that is not used."""
        said = []
        if self.whole:
            said.append("every pass computes the logits of all tokens: this model's head cannot be called separately")
        elif not self.linear:
            said.append("logits are computed by the model's own code: they are more than a product, a scale and a cap")
        if self.read == "padded":
            said.append("rows are padded to one length: packed end to end, they give other logits than each row alone")
        if self.read == "alone":
            said.append("rows are read one at a time: in a batch, they give other logits than each row alone")
        if not self.beside:
            said.append(
                "options are scored one row each: packed behind one shared prompt, they give other logits than each "
                "row alone"
            )
        if self.reach is not None:
            said.append(
                f"rows are cut to {self.reach} tokens: beyond that, this model attends differently, at "
                "lengths too long to check"
            )
        if not self.threads:
            said.append("passes run one after another: this model keeps a state during a pass")
        if not self.cache:
            said.append(
                "written answers are recomputed in full for every token: this model's KV cache gives other logits"
            )
        return said

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "left_out": list(self.left_out)}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Paths:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError: a value is missing or of another type.
        """
        usual = Paths()
        for field in fields(Paths):
            if field.name not in data:
                raise ValueError(f"{field.name} is missing")
        if data["read"] not in READINGS or not isinstance(data["left_out"], list):
            raise ValueError("read or left_out is not known")
        flags = ("beside", "threads", "cache", "linear", "whole")
        if any(type(data[name]) is not type(getattr(usual, name)) for name in flags):
            raise ValueError("a flag is neither true nor false")
        reach = data["reach"]
        return Paths(
            read=data["read"],
            scale=float(data["scale"]),
            cap=None if data["cap"] is None else float(data["cap"]),
            reach=None if reach is None else int(reach),
            left_out=tuple(str(name) for name in data["left_out"]),
            **{name: data[name] for name in flags},
        )


PLAINEST = Paths(read="alone", beside=False, threads=False, cache=False, linear=False, whole=True)
"""Only the model's own code, one row at a time."""
