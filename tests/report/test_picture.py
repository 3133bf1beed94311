"""Pictures: their size, names in them, and letters that no font has."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread
from matplotlib.text import Text

from meshtune.report.picture import blank, plain, png


@pytest.mark.parametrize(("height", "dpi"), [(1.0, 100), (2.5, 40)])
def test_a_picture_is_nine_inches_wide(height: float, dpi: int) -> None:
    picture = imread(io.BytesIO(png(blank(height), dpi)), format="png")
    assert picture.shape[:2] == (round(height * dpi), 9 * dpi)
    assert (picture == 1).all()  # white


def test_what_is_drawn_is_in_the_picture() -> None:
    figure = blank(1.0)
    figure.subplots().fill_between([0, 1], [1, 1], color="red")
    picture = imread(io.BytesIO(png(figure, 50)), format="png")
    assert (np.abs(picture[..., :3] - [1, 0, 0]).max(axis=-1) < 0.01).mean() > 0.2


def test_letters_without_a_shape_are_no_warning_and_others_still_are(monkeypatch: pytest.MonkeyPatch) -> None:
    figure = blank(1.0)
    figure.text(0.1, 0.5, "漢字")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert png(figure, 20).startswith(b"\x89PNG")
    monkeypatch.setattr(figure, "savefig", lambda *_, **__: warnings.warn("something else", UserWarning, stacklevel=1))
    with pytest.warns(UserWarning, match="something else"):
        png(figure, 20)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("sums", "sums"),
        ("two\nlines", r"two\nlines"),
        ("$x$", r"\$x\$"),
        ("x" * 21, "x" * 19 + "…"),
        ("x" * 20, "x" * 20),
        ("$" * 20, r"\$" * 20),
    ],
)
def test_a_name_is_cut_and_its_dollars_are_letters(name: str, shown: str) -> None:
    assert plain(name) == shown


@given(st.text("$\\a\n{_^", max_size=8))
def test_no_name_is_a_formula(name: str) -> None:
    text = Text(text=plain(name))
    found, formula = text._preprocess_math(text.get_text())
    assert not formula
    assert found.count("$") == name.count("$")
