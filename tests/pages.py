"""Reads a Markdown page as GitHub shows it, by another library."""

from __future__ import annotations

from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token

PARSER = MarkdownIt("gfm-like", {"linkify": False})


def leaves(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from leaves(token.children or [])


def shown(markdown: str) -> list[str]:
    """The texts of a Markdown page, paragraph by paragraph and cell by cell, which must hold nothing but text."""
    texts = []
    for token in PARSER.parse(markdown):
        assert token.type not in ("html_block", "fence", "code_block", "heading_open", "list_item_open")
        if token.type == "inline":
            inside = list(leaves(token.children or []))
            kinds = {one.type for one in inside}
            assert kinds <= {"text", "text_special", "strong_open", "strong_close"}, (markdown, kinds)
            texts.append("".join(one.content for one in inside))
    return texts
