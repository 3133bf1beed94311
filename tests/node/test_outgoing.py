"""Envelopes say what is in them, and their bytes are counted by use."""

from __future__ import annotations

import torch

from exchanges import FULL, play, start
from meshtune.config.federation_config import ExchangeConfig
from meshtune.node.outgoing import control_envelope, update_envelope
from meshtune.node.updates import UpdateRules
from meshtune.wire.payload import Message, decode


def test_an_update_and_a_message_of_the_nodes_own() -> None:
    method, state, factory = start("bank")
    for _ in range(2):
        play(method, state, factory, FULL, "bfloat16")
    member = state.members["bank"][2]
    rules = UpdateRules(method, factory, ExchangeConfig(), 2)
    for source in (2, 5):
        one = update_envelope(member, 4, source, 1, rules)
        assert (one.sender, one.receiver, one.source, one.version, one.relayed) == (2, 4, source, 2, source == 5)
        message = decode(one.data)
        assert (message.kind, message.sender, message.source, message.round) == ("update", 2, source, 2)
        assert torch.equal(message.tensors["values"], member.held[source].values)
        assert one.split["values"] == 2 * member.held[source].values.numel()
        assert sum(one.split.values()) == len(one.data)
    want = control_envelope(4, Message("want", 2, 2, 2, {}, {"sources": torch.tensor([5], dtype=torch.int32)}))
    assert (want.sender, want.receiver, want.source, want.version) == (2, 4, 2, 0)
    assert want.split == {"inventory": len(want.data)}
