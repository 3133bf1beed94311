"""The words that ROUGE-L counts, in every script.

The tokenizer in ``rouge_score`` keeps a to z and 0 to 9 and drops everything else, so it finds no words in Greek. This
one finds the same words in ASCII text. In other text a word is a run of letters, digits and combining marks. In scripts
without spaces between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese) every character is a word.
"""

from __future__ import annotations

import re
import unicodedata

_ASCII = re.compile("[a-z0-9]+")
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),  # signs between Han characters
    (0x3040, 0x30FF),  # kana
    (0x3100, 0x312F),  # Bopomofo
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)


class UnicodeTokenizer:
    """A tokenizer for ``RougeScorer``."""

    def tokenize(self, text: str) -> list[str]:
        """Return the words of ``text``, in lower case."""
        if text.isascii():
            return _ASCII.findall(text.lower())
        text = unicodedata.normalize("NFKC", text).lower()
        words: list[str] = []
        going = False  # whether the word continues
        for char in text:
            kind = unicodedata.category(char)[0]
            if kind == "M" and words and going:
                words[-1] += char
            elif kind in "LN" and not _unspaced(char):
                if going and not _unspaced(words[-1][0]):
                    words[-1] += char
                else:
                    words.append(char)
                going = True
            elif kind in "LN":
                words.append(char)
                going = True
            else:
                going = False
        # An answer made only of signs counts its signs.
        return words or [char for char in text if not char.isspace()]


def _unspaced(char: str) -> bool:
    code = ord(char)
    return any(first <= code <= last for first, last in _UNSPACED)
