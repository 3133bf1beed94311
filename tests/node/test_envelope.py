"""An envelope knows whether it passes on what somebody else said."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meshtune.node.envelope import Envelope


@given(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
def test_relayed_is_what_another_device_is_the_source_of(sender: int, receiver: int, source: int) -> None:
    assert Envelope(sender, receiver, source, 1, b"", {}).relayed == (sender != source)
