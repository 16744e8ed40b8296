"""A line in which a person types a sentence, as a value: every key gives a new one. It knows no window."""

from __future__ import annotations

from dataclasses import dataclass, replace

LONGEST = 400  # letters


@dataclass(frozen=True)
class Prompt:
    """What stands there, where the cursor is, and what was said before (oldest first)."""

    text: str = ""
    cursor: int = 0
    recent: tuple[str, ...] = ()
    shown: int | None = None  # which of the recent sentences is shown; None for a new one

    def typed(self, letters: str) -> Prompt:
        """With letters at the cursor; what cannot be seen is left out."""
        letters = "".join(c for c in letters if c.isprintable())[: LONGEST - len(self.text)]
        text = self.text[: self.cursor] + letters + self.text[self.cursor :]
        return replace(self, text=text, cursor=self.cursor + len(letters), shown=None)

    def erased(self) -> Prompt:
        """Without the letter before the cursor."""
        if not self.cursor:
            return self
        text = self.text[: self.cursor - 1] + self.text[self.cursor :]
        return replace(self, text=text, cursor=self.cursor - 1, shown=None)

    def moved(self, num: int) -> Prompt:
        """With the cursor so many letters further right."""
        return replace(self, cursor=min(max(0, self.cursor + num), len(self.text)))

    def recalled(self, num: int) -> Prompt:
        """With the sentence so many places later (earlier for a negative number); after the newest, an empty line."""
        at = (len(self.recent) if self.shown is None else self.shown) + num
        at = min(max(0, at), len(self.recent))
        if at == len(self.recent):
            return replace(self, text="", cursor=0, shown=None)
        return replace(self, text=self.recent[at], cursor=len(self.recent[at]), shown=at)

    def said(self) -> tuple[str, Prompt]:
        """The sentence, and the empty line after it, which remembers."""
        text = " ".join(self.text.split())
        recent = (*(words for words in self.recent if words != text), text) if text else self.recent
        return text, Prompt(recent=recent[-100:])
