"""The words of a jaxpr's text, and a reader that walks along them."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from funcflow.core.errors import JaxprParseError

_TOKEN = re.compile(
    r"""
    (?P<skip>   \s+ | \#[^\n]* )
  | (?P<type>   [a-z]+\d*\[[\d,]*\]\*? )
  | (?P<number> 0x[0-9a-f]+ | [+-]?(?: \d+(?:\.\d*)?(?:[eE][+-]?\d+)? | (?:inf|nan)\b ) )
  | (?P<name>   [A-Za-z_]\w*(?:-[A-Za-z_]\w*)* )
  | (?P<string> '(?:[^'\\\n]|\\.)*' | "(?:[^"\\\n]|\\.)*" )
  | (?P<opaque> < (?: '(?:[^'\\\n]|\\.)*' | "(?:[^"\\\n]|\\.)*" | [^>'"\n] )* > )
  | (?P<sign>   [{}()\[\];:,.=] )
    """,
    re.VERBOSE,
)


class Token(NamedTuple):
    """A word of the text and where it begins, counted from 1."""

    kind: str
    text: str
    line: int
    column: int


class TokenReader:
    """The tokens of a text and the place up to which they have been read."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        self.tokens: list[Token] = []
        self.tokenize(text)
        self.place = 0

    def tokenize(self, text: str) -> None:
        position, line, start = 0, 1, 0  # `start` is where the line begins
        while position < len(text):
            match = _TOKEN.match(text, position)
            here = Token("", text[position], line, position - start + 1)
            if match is None:
                self.fail(f"{text[position]!r} is no part of a jaxpr", here)
            kind, word = match.lastgroup or "", match.group()
            if kind != "skip":
                self.tokens.append(here._replace(kind=kind, text=word))
            if "\n" in word:
                line += word.count("\n")
                start = position + word.rindex("\n") + 1
            position = match.end()
        self.tokens.append(Token("end", "the end of the text", line, position - start + 1))

    @property
    def next(self) -> Token:
        return self.tokens[self.place]

    def peek(self, offset: int = 1) -> str:
        """The text of a later token."""
        return self.tokens[min(self.place + offset, len(self.tokens) - 1)].text

    def take(self, kind: str = "", what: str = "") -> Token:
        token = self.next
        if kind and token.kind != kind:
            self.fail(f"expected {what or f'a {kind}'}, got {token.text!r}", token)
        self.place = min(self.place + 1, len(self.tokens) - 1)
        return token

    def accept(self, *words: str) -> bool:
        """Take the next token if it is one of these."""
        found = self.next.kind in ("sign", "name") and self.next.text in words
        if found:
            self.take()
        return found

    def expect(self, word: str) -> Token:
        token = self.next
        if not self.accept(word):
            self.fail(f"expected {word!r}, got {token.text!r}", token)
        return token

    def fail(self, message: str, token: Token, mend: str = "") -> NoReturn:
        """Raise the error that points at a token."""
        mend = mend or "compare with the text that ff.jaxpr_to_text writes"
        where = f"line {token.line}, column {token.column}"
        shown = f"  {self.lines[token.line - 1]}\n  {' ' * (token.column - 1)}^"
        raise JaxprParseError(f"parse_jaxpr: {where}: {message}\n{shown}", mend=mend)

    def items(self, closing: str, item: Callable[[], Any]) -> list[Any]:
        """Items separated by commas, up to the closing sign."""
        found: list[Any] = []
        while not self.accept(closing):
            found.append(item())
            if not self.accept(","):
                self.expect(closing)
                break
        return found
