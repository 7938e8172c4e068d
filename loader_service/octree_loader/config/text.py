"""The value that a text of configuration stands for. Pure (no I/O).

JSON, or a Python literal as napari's documentation has it. Knows no file, and no key.
"""

from __future__ import annotations

import ast
import json
import warnings
from typing import Any

_JSON_MISTAKE = "neither JSON ({}) nor a Python literal ({})"


def parse(text: str, twice: list[str]) -> Any:
    """The value in a text of JSON, or else of a Python literal.

    Parameters
    ----------
    text
        As it stands in a file.
    twice
        Gathers the keys that an object has twice.

    Raises
    ------
    ValueError
        If it is neither; says where it ends to be JSON, and where to be a literal.
    """

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        twice.extend(key for position, key in enumerate(keys) if key in keys[:position])
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=collect)
    except json.JSONDecodeError as error:
        as_json = f"line {error.lineno}, column {error.colno}: {error.msg}"
    except RecursionError:
        as_json = "nested too deeply"
    twice.clear()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            tree = ast.parse(text.strip("\ufeff \t\r\n"), mode="eval")
            found = ast.literal_eval(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict):
                keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
                twice += [str(key) for position, key in enumerate(keys) if key in keys[:position]]
    except SyntaxError as error:
        as_python = f"line {error.lineno}, column {error.offset}: {error.msg}"
    except (ValueError, TypeError) as error:
        as_python = str(error).partition(":")[0]
    except (RecursionError, MemoryError):
        as_python = "nested too deeply"
    else:
        return found
    raise ValueError(_JSON_MISTAKE.format(as_json, as_python))
