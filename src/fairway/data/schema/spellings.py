"""The spellings of a schema, as one JSON Schema of {"inputs", "outputs"}: JSON Schema itself, lists of columns, Azure's swagger."""

from __future__ import annotations

import re
from typing import Any

from fairway.data.schema.datatypes import DATATYPES, find_datatype, nested_array
from fairway.data.schema.misspelt import check_words
from fairway.data.schema.modelschema import DIALECT
from fairway.data.schema.pointers import is_annotation, ours, pointer, with_ours
from fairway.errors import DefinitionError

_TYPES = ("string", "number", "integer", "boolean", "object", "array", "null")


def normalised(data: dict[str, Any], where: str) -> tuple[dict[str, Any], bool]:
    """The normalised document, and whether `inputs` describes the request's body itself."""
    if "swagger" in data or "openapi" in data:
        return _of_swagger(data, where), True
    properties = data.get("properties")
    if isinstance(properties, dict) and ("inputs" in properties or "outputs" in properties) and set(properties) <= {"inputs", "outputs"}:
        sides, rest = properties, {key: value for key, value in data.items() if key not in ("properties", "required", "type")}
    elif ("inputs" in data or "outputs" in data) and not {"type", "properties", "$ref", "items"} & set(data):
        sides, rest = data, {key: value for key, value in data.items() if key not in ("inputs", "outputs")}
    else:
        sides, rest = (
            {"inputs": {key: value for key, value in data.items() if key not in ("$schema", "$defs", "definitions")}},
            {key: data[key] for key in ("$defs", "definitions", "title", "description") if key in data},
        )
    made: dict[str, Any] = {"$schema": DIALECT, **rest, "type": "object", "properties": {}}
    made["$schema"] = DIALECT
    for side in ("inputs", "outputs"):
        made["properties"][side] = _side(sides.get(side, {}), pointer(side), where)
    made["required"] = ["inputs"] if "inputs" in sides else []
    return made, ours(data).get("body") is True


def _side(said: Any, at: str, where: str) -> Any:
    """One side as JSON Schema: it is already, or it lists columns ({name: type}, or MLflow's [{"name", "type"}])."""
    if isinstance(said, list):
        columns: dict[str, Any] = {}
        for number, one in enumerate(said):
            if not isinstance(one, dict) or not isinstance(one.get("name", ""), str):
                raise DefinitionError(f"{at}/{number} is not a column", where=where, hint='A column is {"name": "age", "type": "number"}.')
            columns[one.get("name") or f"x{number}"] = {key: value for key, value in one.items() if key != "name"}
        return _rows(columns, at, where)
    if isinstance(said, bool):
        return said
    if isinstance(said, str):
        said = {"type": said}
        return {**said, **_property(said, at, where)}
    if not isinstance(said, dict):
        raise DefinitionError(f"{at} is {said!r}, which is no schema", where=where)
    if not said or _is_schema(said):
        return said
    return _rows(said, at, where)


def _is_schema(said: dict[str, Any]) -> bool:
    """JSON Schema, or columns by name? A keyword has a value that fits a keyword; a column's "type" would be {"type": {"type": …}}."""
    if isinstance(said.get("type"), str | list) and (said["type"] in _TYPES if isinstance(said["type"], str) else True):
        return True
    if all(is_annotation(key) for key in said):
        return True
    return (
        any(
            key in said and isinstance(said[key], kind)
            for key, kind in (("$ref", str), ("anyOf", list), ("oneOf", list), ("allOf", list), ("enum", list), ("if", dict), ("not", dict))
        )
        or ("const" in said and not isinstance(said["const"], dict))
        or (
            isinstance(said.get("properties"), dict)
            and all(isinstance(v, dict | bool) for v in said["properties"].values())
            and "type" not in said["properties"]
        )
    )


def _rows(columns: dict[str, Any], at: str, where: str) -> dict[str, Any]:
    """Columns by name as an array of objects, or, where they have shapes, as named arrays."""
    properties: dict[str, Any] = {}
    required: list[str] = []
    for name, said in columns.items():
        about = {"type": said} if isinstance(said, str) else said
        if not isinstance(about, dict):
            raise DefinitionError(
                f"{at}{pointer(name)} is {about!r}, which says no type", where=where, hint='Write "number", or {"type": "number"}.'
            )
        properties[name] = _property(about, at + pointer(name), where)
        if about.get("required") is not False:
            required.append(name)
    table = {"type": "object", "properties": properties, "required": required}
    if properties and all("shape" in ours(one) for one in properties.values()):
        return table
    return {"type": "array", "items": table}


def _property(about: dict[str, Any], at: str, where: str) -> dict[str, Any]:
    """One column of a list of columns, whose `type` may be JSON Schema's or a library's ("float32", "category", "datetime64[ns]")."""
    check_words(about, at, where)
    kept = {
        key: value
        for key, value in about.items()
        if key not in ("type", "missing", "nullable", "required", "shape", "categories", "optional")
    }
    missing = about.get("missing") is True or about.get("nullable") is True
    if isinstance(about.get("required"), list):
        kept["required"] = about["required"]
    said = about.get("type", "any")
    if isinstance(said, dict) and isinstance(said.get("dtype"), str):  # MLflow's tensor-spec
        said = said["dtype"]
    if isinstance(said, list) or (said in _TYPES and said != "array"):
        made: dict[str, Any] = {"type": said}
    elif isinstance(said, str):
        made = _of_name(said, at, where)
    else:
        raise DefinitionError(f"{at}/type is {said!r}", where=where, hint=f"One of {', '.join(_TYPES)}.")
    if isinstance(about.get("categories"), list):
        made = {"enum": list(about["categories"])}
    if isinstance(about.get("shape"), list):
        shape = [-1 if size is None else size for size in about["shape"]]
        made = nested_array(made, find_datatype(str(said)), shape)
        return with_ours({**made, **kept}, {**ours(made), **ours(kept)})
    if missing:
        if "enum" in made:
            made["enum"] = [*made["enum"], None] if None not in made["enum"] else made["enum"]
        elif isinstance(made.get("type"), str):
            made["type"] = [made["type"], "null"]
    datatype = find_datatype(said) if isinstance(said, str) and said not in _TYPES else ""
    return with_ours({**made, **kept}, {**({"datatype": datatype} if datatype else {}), **ours(kept)})


def _of_name(said: str, at: str, where: str) -> dict[str, Any]:
    """A library's name of a type as JSON Schema."""
    plain = said.lower()
    if plain in ("any", "object", ""):
        return {}
    if plain.startswith(("datetime", "timestamp")):
        return {"type": "string", "format": "date-time"}
    if plain.startswith("date"):
        return {"type": "string", "format": "date"}
    if plain.startswith("time"):
        return {"type": "string", "format": "time"}
    datatype = find_datatype(plain) or find_datatype(re.split(r"[\[(<:]", plain)[0])
    if datatype:
        return {"type": DATATYPES[datatype].type}
    if plain in ("array", "list", "tensor") or plain.startswith(("list", "array")):
        return {"type": "array"}
    if plain in ("dict", "map", "struct") or plain.startswith("struct"):
        return {"type": "object"}
    if plain in ("binary", "bytes"):
        return {"type": "string", "contentEncoding": "base64"}
    raise DefinitionError(
        f"{at}/type is {said!r}, which is no type", where=where, hint=f"One of {', '.join(_TYPES)}, or float32, int64, category, datetime …"
    )


def _of_swagger(data: dict[str, Any], where: str) -> dict[str, Any]:
    """The document of what `inference-schema` (Azure) generates: its definitions ServiceInput and ServiceOutput."""
    found = data.get("definitions") or (data.get("components") or {}).get("schemas") or {}
    if not isinstance(found, dict) or "ServiceInput" not in found:
        raise DefinitionError("it has no definition 'ServiceInput'", where=where, hint="Azure's swagger.json has it under /definitions.")
    definitions = _rewritten(found)
    made: dict[str, Any] = {"$schema": DIALECT, "type": "object", "required": ["inputs"], "$defs": definitions}
    made["x-fairway"] = {"body": True}
    made["properties"] = {"inputs": {"$ref": "#/$defs/ServiceInput"}, "outputs": {}}
    if "ServiceOutput" in definitions:
        made["properties"]["outputs"] = {"$ref": "#/$defs/ServiceOutput"}
    return made


_SWAGGER_FORMATS = {"double": "FP64", "float": "FP32", "int64": "INT64", "int32": "INT32"}


def _rewritten(value: Any) -> Any:
    """Swagger 2's spellings as JSON Schema's: references, `nullable`, formats that name a datatype, `required: true`."""
    if isinstance(value, list):
        return [_rewritten(one) for one in value]
    if not isinstance(value, dict):
        return value
    made = {key: _rewritten(one) for key, one in value.items()}
    if isinstance(made.get("$ref"), str):
        made["$ref"] = re.sub(r"^#/(definitions|components/schemas)/", "#/$defs/", made["$ref"])
    if isinstance(made.get("type"), str):
        library, _, orient = str(made.get("format", "")).partition(":")
        if library in ("numpy.ndarray", "pandas.DataFrame", "spark.DataFrame"):
            del made["format"]
            if orient not in ("", "records"):  # what it says of these is wrong: a column of numbers is of text
                return {"type": made["type"]}
        if made.get("format") in _SWAGGER_FORMATS:
            made = with_ours(made, {"datatype": _SWAGGER_FORMATS[made.pop("format")]})
        if made.get("nullable") is True or made.get("x-nullable") is True:
            made["type"] = [made["type"], "null"]
        if isinstance(made.get("required"), bool):
            del made["required"]
        made.pop("nullable", None)
    return made
