"""Names in Markdown: a reader sees them as they are, and everyday ones stay readable in the file."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from meshtune.printable import printable
from meshtune.report.markdown import escaped
from meshtune.report.result_tables import Table
from pages import shown


def test_everyday_names_stay_readable_in_the_file_itself() -> None:
    for name in ("social_i_qa", "pass@2 by task", "proposed:top1", "+0.303 [+0.261, +0.341]", "4.85 ± 0.02", "R2 (x)"):
        assert escaped(name) == name
    assert escaped("a $x^2$") == "a \\$x^2\\$"  # GitHub takes it for a formula
    assert escaped("a@b.org") == "a\\@b.org"
    assert escaped("https://x.org") == "https\\://x.org"


@example("<img src=x onerror=alert(1)>")
@example("<b>x</b> <!-- y -->")
@example("[x](javascript:alert(1))")
@example("a|b`c` **d** __e__ ~~f~~ &lt; $g$")
@example("<https://x.org> www.x.org a@b.org")
@given(st.text(st.characters(codec=None), max_size=30) | st.text("|`[]()<>&*_~\\!#$-= \na1:.@", max_size=12))
def test_markdown_shows_every_name_as_it_is(name: str) -> None:
    table = Table("t", ["task", f"x {name} y"], [[f"x {name} y", "1 [0.5, 0.7]"]])
    title, *cells = shown(table.markdown())
    assert title == "t"
    expected = [" ".join(f"x {printable(name)} y".split(" ")).strip()] * 2
    assert [cells[1], cells[2]] == expected
    assert (cells[0], cells[3]) == ("task", "1 [0.5, 0.7]")
    assert shown(f"AnnouncementLoad: {escaped(name)} .") == [f"AnnouncementLoad: {printable(name)} ."]
