"""Whether a loaded base is the model that its files hold: keys, numbers and tokens, on small modules."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from meshtune.errors import UserError
from meshtune.model.integrity import check_finite, check_tokenizer, check_weights


class Model(nn.Module):
    """Two blocks between an embedding of ``rows`` tokens and a head of as many."""

    def __init__(self, rows: int = 9, ahead: int = 0) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(rows, 2), nn.Linear(2, rows, bias=False)
        self.layers = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
        self.experts = nn.ModuleList([nn.Identity()])
        facts = SimpleNamespace(num_nextn_predict_layers=ahead)
        self.config: Any = SimpleNamespace(get_text_config=lambda: facts)

    def get_input_embeddings(self) -> Any:
        return self.embed

    def get_output_embeddings(self) -> Any:
        return self.head


def refusal(missing: list[str] = [], unknown: list[str] = [], shapes: list[Any] = [], ahead: int = 0) -> str:  # noqa: B006
    """Return the sentence that a loading ends in, without the name of the model; nothing where it is whole."""
    found = {"missing_keys": set(missing), "unexpected_keys": set(unknown), "mismatched_keys": set(shapes)}
    try:
        check_weights(Model(ahead=ahead), found, "mine")
    except UserError as error:
        return str(error).removeprefix("model.name=mine: ")
    return ""


def test_tensors_that_are_missing_are_named_and_counted() -> None:
    """The model has six: embedding, head, and a weight and a bias by layer."""
    end = ": get the whole model again, or the config.json of its weights"
    assert refusal(["head.weight"]) == f"its weights' files lack 1 of the model's 6 tensors (head.weight){end}"
    many = ["layers.1.bias", "layers.0.bias", "head.weight", "embed.weight"]
    named = "(embed.weight, head.weight, layers.0.bias, …)"
    assert refusal(many) == f"its weights' files lack 4 of the model's 6 tensors {named}{end}"


def test_what_the_files_hold_instead_is_told() -> None:
    lacking = ["layers.0.bias", "layers.0.weight"]
    renamed = refusal(lacking, [f"net.{key}" for key in lacking])
    assert ", and hold them under names that begin with net.: get the whole" in renamed
    other = refusal(lacking, ["layers.0.w", "layers.0.b"])
    assert ", and hold 2 that it does not know (layers.0.b, layers.0.w): get the whole" in other
    one = refusal(lacking, ["net.layers.0.bias"])  # not all of them
    assert ", and hold 1 that it does not know (net.layers.0.bias)" in one


def test_the_first_shape_that_differs_is_told() -> None:
    shapes = [("layers.0.weight", (3, 2), (2, 2)), ("embed.weight", (8, 2), (9, 2))]
    end = ": get the config.json of its weights"
    told = "embed.weight has the shape (8, 2) in its weights' file and (9, 2) by its config.json"
    assert refusal(shapes=shapes[1:]) == f"{told}{end}"
    assert refusal(shapes=shapes) == f"{told} (and 1 more differ){end}"


@pytest.mark.parametrize(
    ("unknown", "ahead", "refused"),
    [
        (["layers.2.weight", "layers.2.bias"], 0, 2),
        (["layers.0.extra"], 0, 1),
        (["layers.weird"], 0, 1),
        (["layers.2.weight", "layers.3.weight"], 1, 1),
        (["layers.2.weight"], 1, 0),  # a block that predicts the token after the next
        (["vision.layers.0.weight", "layersx.0.weight", "norm.weight"], 0, 0),
        (["layers.0.rotary_emb.inv_freq", "layers.1.attn.bias", "layers.1.attn.masked_bias"], 0, 0),
    ],
)
def test_tensors_of_blocks_that_find_no_place_are_refused_and_other_parts_let_be(
    unknown: list[str], ahead: int, refused: int
) -> None:
    said = refusal(unknown=unknown, ahead=ahead)
    if not refused:
        assert said == ""
        return
    assert said == (
        f"its weights' files hold tensors of blocks ({refused}) that its config.json has no place for "
        f"({', '.join(sorted(unknown)[-refused:])}): get the config.json of its weights"
    )


@pytest.mark.parametrize(
    ("value", "dtype", "said"),
    [
        (float("nan"), torch.float32, "layers.1.bias holds a weight that is not a number (NaN): get the model again"),
        (float("nan"), torch.float16, "layers.1.bias holds a weight that is not a number (NaN): get the model again"),
        (float("-inf"), torch.bfloat16, "layers.1.bias holds a weight that is infinite: get the model again"),
        (
            float("inf"),
            torch.float16,
            "layers.1.bias is beyond 65,504, the largest number of model.dtype=float16: set ",
        ),
    ],
)
def test_a_number_that_is_not_finite_is_told_with_its_tensor(value: float, dtype: torch.dtype, said: str) -> None:
    model: Any = Model().to(dtype)
    check_finite(model, "mine")
    model.layers[1].bias.data[1] = value
    with pytest.raises(UserError) as caught:
        check_finite(model, "mine")
    assert str(caught.value).startswith(f"model.name=mine: {said}")


def test_whole_numbers_and_empty_tensors_are_finite() -> None:
    model = nn.Module()
    model.register_parameter("rounded", nn.Parameter(torch.zeros(2, dtype=torch.int8), requires_grad=False))
    model.register_parameter("empty", nn.Parameter(torch.zeros(0)))
    check_finite(model, "mine")


class Words:
    """A tokenizer that knows a few words; what it does not know is token 0."""

    def __init__(self, eos: int | None = None, special: tuple[int, ...] = (), **vocabulary: int) -> None:
        self.vocabulary = {"[UNK]": 0, **vocabulary}
        self.unk_token_id, self.eos_token_id, self.all_special_ids = 0, eos, [0, *special]
        self.added_tokens_decoder: dict[int, Any] = {}
        self.front: list[int] = []

    def __call__(self, text: str, add_special_tokens: bool, **how: Any) -> dict[str, list[int]]:
        front = self.front if add_special_tokens else []
        words = text.replace(":", " ").replace("?", " ").replace(",", " ").split()
        return {"input_ids": [*front, *(self.vocabulary.get(word, 0) for word in words)]}

    def get_vocab(self) -> dict[str, int]:
        return self.vocabulary


def test_a_token_without_a_row_is_refused_and_rows_without_a_token_are_not() -> None:
    check_tokenizer(Words(Question=1, Answer=8), Model(), "mine")
    with pytest.raises(
        UserError, match=r"gives token 9 \(rare\), and the model has rows for 9 tokens, from 0: get the"
    ):
        check_tokenizer(Words(Question=1, rare=9), Model(), "mine")
    short = Model()
    short.head = nn.Linear(2, 5)  # fewer at the output
    with pytest.raises(UserError, match=r"gives token 8 \(Answer\), and the model has rows for 5 tokens"):
        check_tokenizer(Words(Question=1, Answer=8), short, "mine")


def test_special_tokens_beyond_the_rows_are_let_be_unless_they_are_written() -> None:
    tokenizer = Words(Question=1, image=12, special=(12,))
    check_tokenizer(tokenizer, Model(), "mine")
    tokenizer.added_tokens_decoder = {15: SimpleNamespace(special=True), 16: SimpleNamespace(special=False)}
    tokenizer.vocabulary["pad"] = 15
    check_tokenizer(tokenizer, Model(), "mine")
    tokenizer.vocabulary["word"] = 16
    with pytest.raises(UserError, match=r"gives token 16 \(word\)"):
        check_tokenizer(tokenizer, Model(), "mine")
    with pytest.raises(UserError, match=r"gives token 12 \(image\)"):  # it ends every answer
        check_tokenizer(Words(Question=1, image=12, special=(12,), eos=12), Model(), "mine")
    begins = Words(Question=1, start=20, special=(20,))
    begins.front = [20]
    with pytest.raises(UserError, match=r"gives token 20 \(start\)"):
        check_tokenizer(begins, Model(), "mine")


def test_a_tokenizer_that_reads_nothing_is_refused() -> None:
    with pytest.raises(UserError, match=r"its tokenizer makes only unknown tokens of ordinary text"):
        check_tokenizer(Words(ja=1), Model(), "mine")
    dumb = Words()
    dumb.vocabulary = {}
    dumb.__class__ = type("Dumb", (Words,), {"__call__": lambda self, text, **how: {"input_ids": []}})
    with pytest.raises(UserError, match=r"its tokenizer makes no token of ordinary text"):
        check_tokenizer(dumb, Model(), "mine")
    broken = Words()
    broken.__class__ = type("Broken", (Words,), {"__call__": lambda self, text, **how: {}["input_ids"]})
    with pytest.raises(UserError, match=r"its tokenizer cannot read text \('input_ids'\): get the tokenizer of"):
        check_tokenizer(broken, Model(), "mine")


def test_a_model_without_a_table_of_tokens_is_refused() -> None:
    model = Model()
    model.head = nn.Identity()
    with pytest.raises(UserError, match="has no table of tokens at its input or its output: take another model"):
        check_tokenizer(Words(Question=1), model, "mine")
