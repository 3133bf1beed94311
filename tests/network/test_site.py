"""Where a run takes place is known, and what is wrong with it told, before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshtune.config.config_file import validate
from meshtune.config.run_config import RunConfig
from meshtune.errors import UserError
from meshtune.network.site import open_site, site_of
from meshtune.wireless.channels.trace import Trace
from meshtune.wireless.config import RadioConfig

PLACES = [(0.0, 0.0), (30.0, 40.0)]


def config(radio: Any = None, **changes: Any) -> RunConfig:
    tree = {"tasks": ["boolq"], "devices": {"count": 2}, "places": {"positions": PLACES}, "train": {"rounds": 3}}
    return validate({**tree, "radio": radio, **changes}, "the test")


def trace(folder: Path, rounds: int) -> dict[str, Any]:
    file = folder / "trace.csv"
    file.write_text("round,a,b,gain_db\n" + "".join(f"{at},0,1,-60\n" for at in range(1, rounds + 1)))
    return {"channel": "trace", "trace": str(file)}


def test_free_links_have_no_site() -> None:
    assert open_site(config()) is None


def test_a_site_has_the_channel_and_the_places_of_its_configuration(tmp_path: Path) -> None:
    settings = config({**trace(tmp_path, 3), "bandwidth": 1e6}, seed=7)
    site = open_site(settings)
    assert site is not None
    assert (site.config, site.radio) == (settings, settings.radio)
    assert isinstance(site.channel, Trace)
    assert site.channel.seed == 7
    assert site.mobility.positions(0.0).tolist() == [list(place) for place in PLACES]
    other = site_of(settings, RadioConfig(channel="urban"))
    assert (other.radio.channel, other.config) == ("urban", settings)


def test_a_seed_draws_places() -> None:
    def drawn(seed: int) -> list[list[float]]:
        site = open_site(config({}, places={"radius": 50.0}, seed=seed))
        assert site is not None
        found: list[list[float]] = site.mobility.positions(0.0).tolist()
        return found

    assert drawn(1) == drawn(1) != drawn(2)


def test_what_the_channel_or_the_places_lack_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="covers 2 rounds, 1 to 2, and round 3 is needed"):
        open_site(config(trace(tmp_path, 2)))
    with pytest.raises(UserError, match=r"places\.positions places 2 devices and there are 3"):
        open_site(config({}, devices={"count": 3}))
