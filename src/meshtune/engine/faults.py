"""What goes wrong in a run on purpose: devices that are not there in a round, or late."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class FaultsConfig(BaseModel):
    """Faults, drawn from the run's seed for every device and round.

    Attributes:
        dropout: probability that a device is away for a round: it neither sends nor hears.
        late: probability that a device computes ``slowdown`` times as long in a round.
        slowdown: how many times as long.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    dropout: float = Field(0.0, ge=0, lt=1)
    late: float = Field(0.0, ge=0, le=1)
    slowdown: float = Field(4.0, ge=1)
