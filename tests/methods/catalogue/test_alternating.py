"""Factors that are trained, sent and averaged in turn."""

from __future__ import annotations

import torch

from federations import LAYERS, federation
from meshtune.adapter.dense.factor_expert import FactorExpert
from meshtune.methods.registry import get_method
from meshtune.methods.state import Update


def test_the_factor_of_the_round_is_averaged_and_the_other_rests() -> None:
    """Devices of 10, 20, 30 and 40 rows; B in round 1, A in round 2, B again in round 3."""
    method = get_method("alternating")
    members, factory = federation(method)
    border = 2 * sum(layer.inputs for layer in LAYERS)
    expected = members[0].expert.values.clone()
    for version in (1, 2, 3):
        part = slice(0, border) if version == 2 else slice(border, None)
        sent = {}
        for member in members:
            values = member.expert.values.clone()
            values[part] += torch.randn(values[part].shape, generator=torch.Generator().manual_seed(10 * version))
            values[part] *= 1 + member.device
            member.expert = member.expert.with_values(values)
            sent[member.device] = Update(member.device, version, values)
        expected[part] = sum((d + 1) / 10 * sent[d].values for d in sent)[part]  # type: ignore[index]
        for member in members:
            member.held.update(sent)
            mixed = method.mix(member, factory)
            assert mixed is not None
            member.expert = mixed
            torch.testing.assert_close(mixed.values, expected)


def test_the_mean_of_updates_is_exact() -> None:
    """With weights 1 to 4 tenths the mixed update is the mean of the four devices' updates, in both turns."""
    method = get_method("alternating")
    members, factory = federation(method)
    for version in (1, 2, 3, 4):
        sent = {}
        for member in members:
            assert isinstance(member.expert, FactorExpert)
            trained = member.expert.trainee(version)
            draw = torch.Generator().manual_seed(10 * version + member.device)
            member.expert = member.expert.taught(
                trained.with_values(trained.values + torch.randn(trained.count, generator=draw))
            )
            sent[member.device] = Update(member.device, version, member.expert.values)
        shape = members[0].expert
        means = [
            sum((d + 1) / 10 * shape.with_values(sent[d].values).delta(layer) for d in range(4)) for layer in LAYERS
        ]
        for member in members:
            member.held.update(sent)
            mixed = method.mix(member, factory)
            assert mixed is not None
            member.expert = mixed
            for layer, mean in zip(LAYERS, means, strict=True):
                torch.testing.assert_close(mixed.delta(layer), mean, rtol=0, atol=1e-4)
