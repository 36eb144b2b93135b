"""The space digest: which definition of the operations a key of a latency table was made with."""

import io
import tokenize
from functools import cache
from importlib import resources

from latency_tables.contract import sha256

_DEFINITIONS = ("operations.py", "fold.py")
_LAYOUT = {tokenize.NEWLINE: "NEWLINE", tokenize.INDENT: "INDENT", tokenize.DEDENT: "DEDENT"}
_SKIPPED = {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER}


def definition(source: str) -> str:
    """Python source without comments, docstrings and layout: one token a line.

    Equal for Python 3.10 to 3.14 as long as the source holds no f-string.
    """
    tokens: list[str] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in _SKIPPED:
            continue
        text = _LAYOUT.get(token.type, token.string)
        is_docstring = len(tokens) > 0 and token.type == tokenize.NEWLINE and tokens[-1].startswith(('"""', 'r"""'))
        if is_docstring and (len(tokens) == 1 or tokens[-2] in _LAYOUT.values()):
            tokens.pop()
            continue
        tokens.append(text)
    return "\n".join(tokens)


@cache
def space_digest() -> str:
    """SHA-256 over the definitions of the operations and of their deployed form."""
    package = resources.files("lgcnet_search.space")
    return sha256("\0".join(definition(package.joinpath(name).read_text("utf-8")) for name in _DEFINITIONS))
