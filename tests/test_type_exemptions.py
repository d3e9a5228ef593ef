"""The list of type-check exemptions is complete, and it only shrinks."""

import re
import tokenize
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIST = tomllib.loads((ROOT / "tests" / "type_exemptions.toml").read_text())
DIRECTIVE = re.compile(r"#\s*(pyright|type):")


def exemption_comments(path: Path) -> int:
    with path.open("rb") as source:
        tokens = list(tokenize.tokenize(source.readline))
    return sum(t.type == tokenize.COMMENT and bool(DIRECTIVE.match(t.string)) for t in tokens)


def test_every_exemption_is_listed():
    counts = {
        p.relative_to(ROOT).as_posix(): exemption_comments(p)
        for p in sorted((ROOT / "funcflow").rglob("*.py"))
    }
    found = {path: count for path, count in counts.items() if count}
    assert found == LIST["comments"]


def test_the_list_stays_within_its_limit():
    # Equality: a limit above the count would let the list grow again unseen.
    assert sum(LIST["comments"].values()) == LIST["limit"]
