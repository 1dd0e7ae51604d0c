"""What is wrong with a request's parameters, in sentences that name them and what is allowed."""

import difflib
import functools
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from pydantic import BaseModel

_SHOWN = 100  # characters of what was given


def explain(item: Mapping[str, Any], model: type[BaseModel]) -> dict[str, str]:
    """One of pydantic's errors with a model as the `name` and `detail` of a problem document."""
    name = str(item["loc"][-1])
    if item["type"] == "extra_forbidden":
        hint = _suggest(name[:_SHOWN], model.model_fields)
        return {"name": name, "detail": f"There is no parameter {name[:_SHOWN] or repr(name)}; {hint}"}
    allowed = _allowed(_schema(model)["properties"][name])
    return {"name": name, "detail": f"{name} must be {allowed}, not {_given(item)}."}


def repeated(names: Iterable[str]) -> list[dict[str, str]]:
    """A problem document's `errors` for parameters that a query has more than once: which one is meant is not told."""
    more = [name for name, count in Counter(names).items() if count > 1]
    return [{"name": name, "detail": f"{name[:_SHOWN]} is given more than once."} for name in more]


def _suggest(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, names, 1)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}."


@functools.cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _allowed(schema: Mapping[str, Any]) -> str:
    """What a parameter's JSON schema allows."""
    (schema,) = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]
    if schema["type"] == "boolean":
        return "true or false"
    number = "a whole number" if schema["type"] == "integer" else "a number"
    if "minimum" in schema:
        return f"{number} from {schema['minimum']:g} to {schema['maximum']:g}"
    return f"{number} above {schema['exclusiveMinimum']:g} and at most {schema['maximum']:g}"


def _given(item: Mapping[str, Any]) -> str:
    """As JSON has it, but text in single quotes, which JSON would escape. Where a message has text for something else,
    that is what is wrong with it.
    """
    value = item["input"]
    if isinstance(value, str):
        return f"{'the text ' * item['type'].endswith('_type')}'{value[:_SHOWN]}'"
    try:
        return orjson.dumps(value, default=str).decode()[:_SHOWN]
    except TypeError:  # nested too deep
        return str(value)[:_SHOWN]
