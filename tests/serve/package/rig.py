"""Calls as the front makes them, without a front."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np

from fairway.serve.call import Call, Result, Tensor


def matrix(values: Any, names: tuple[str, ...] = (), dtype: str = "<f8") -> Call:
    array = np.asarray(values, dtype)
    return Call("matrix", array.tobytes(), rows=len(array), names=names, dtype=dtype)


def rows(values: list[list[Any]], names: tuple[str, ...] = ()) -> Call:
    return Call("rows", msgspec.msgpack.encode(values), rows=len(values), names=names)


def of_json(value: Any) -> Call:
    return Call("json", json.dumps(value).encode(), content_type="application/json")


def raw(body: bytes, content_type: str = "application/json") -> Call:
    return Call("raw", body, content_type=content_type)


def tensor(name: str, values: Any, dtype: str = "<f4", datatype: str = "FP32") -> Tensor:
    array = np.asarray(values, dtype)
    return Tensor(name, datatype, array.shape, array.tobytes())


def tensors(*given: Tensor) -> Call:
    return Call("tensors", tensors=given, rows=given[0].shape[0])


def value_of(result: Result) -> Any:
    """What a result says, as Python data."""
    if result.form == "array":
        return np.frombuffer(result.payload, result.dtype).reshape(result.shape).tolist()
    if result.form == "json":
        return json.loads(bytes(result.payload))
    if result.form == "error":
        raise AssertionError(result.message)
    return bytes(result.payload)


def answer(predictor: Any, *calls: Call, schema: Any = None, method: str = "") -> list[Any]:
    """What a worker does with a batch: the answers of its calls."""
    from fairway.serve.package.inputs import to_inputs
    from fairway.serve.package.results import to_results

    value = predictor.predict(to_inputs(calls, predictor, schema), method, {})
    return [value_of(result) for result in to_results(value, calls, schema, predictor.output_names(method))]
