"""Proposals and claims arrive as they were written."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from meshtune.node.negotiation.claim_messages import CodedMask, claim_message, code_mask, coded_claim, kind_of
from meshtune.wire.payload import decode, encode
from meshtune.wire.validation import Receiver


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=20), min_size=1, max_size=4), st.booleans())
def test_a_mask_arrives_as_it_was_sent(layers: list[list[bool]], claims: bool) -> None:
    sizes, mask = [len(layer) for layer in layers], [np.flatnonzero(layer) for layer in layers]
    sent = claim_message("claim" if claims else "proposal", 3, code_mask(mask, sizes), "a" if claims else None)
    arrived = decode(encode(sent))
    assert kind_of(arrived) == sent.kind
    assert arrived.meta == ({"group": "a"} if claims else {})
    found = CodedMask.read(coded_claim(arrived, kind_of(arrived), Receiver(0, 1, {1, 3})), sizes)
    assert [positions.tolist() for positions in found.mask] == [positions.tolist() for positions in mask]
    assert np.unpackbits(found.bits, count=sum(sizes)).tolist() == [used for layer in layers for used in layer]
