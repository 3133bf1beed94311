"""Looking rows up is the same as searching through all of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meshtune.report.format import ResultRow
from meshtune.report.index import Index

ROWS = st.lists(
    st.builds(
        ResultRow,
        method=st.sampled_from(["lora", "frozen"]),
        seed=st.just(0),
        round=st.integers(0, 3),
        device=st.integers(0, 3),
        task=st.sampled_from(["sums", "maps", "odds"]),
        metric=st.sampled_from(["acc", "nll", "pass@5"]),
        value=st.floats(0, 1),
        n=st.integers(1, 3),
    ),
    max_size=12,
)


@given(ROWS)
def test_what_is_looked_up_is_what_a_search_finds(rows: list[ResultRow]) -> None:
    index = Index(rows)
    for method in ("lora", "frozen", "absent"):
        for metric in ("nll", "acc", "pass@5"):
            mine = [row for row in rows if (row.method, row.metric) == (method, metric)]
            last = [row for row in mine if row.round == max(row.round for row in mine)]
            assert index.final(method, metric) == last
            for task in ("sums", "maps", "odds"):
                assert index.cell(method, metric, task) == [row for row in last if row.task == task]
    for metric in ("nll", "acc"):
        assert set(index.measured(metric)) == {row.task for row in rows if row.metric == metric}
    for task in {row.task for row in rows}:
        assert index.asked[task] == max(row.n for row in rows if row.task == task)
        for method in {row.method for row in rows if row.task == task}:
            counts = [row.n for row in rows if (row.method, row.task) == (method, task)]
            assert index.fewest[method, task] == min(counts)


def test_names_stand_in_the_order_of_the_rows_and_measures_in_that_of_the_tables() -> None:
    def row(method: str, task: str, metric: str, device: int) -> ResultRow:
        return ResultRow(method=method, seed=0, round=1, device=device, task=task, metric=metric, value=1.0, n=1)

    index = Index([row("lora", "sums", "acc", 2), row("frozen", "maps", "nll", 0), row("lora", "maps", "acc", 1)])
    assert (index.methods, index.tasks) == (["lora", "frozen"], ["sums", "maps"])
    assert (index.metrics, index.devices) == (["nll", "acc"], [0, 1, 2])
    assert (index.measured("acc"), index.measured("nll"), index.measured("pass@5")) == (["sums", "maps"], ["maps"], [])
