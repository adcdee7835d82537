"""Schemas of models: what they take and give, and the checks of requests made from them."""

from fairway.data.schema.load import load_schema
from fairway.data.schema.modelschema import Column, ModelSchema, TensorSpec, no_schema
from fairway.serve.schema.checker import Checker, compile_checker

__all__ = ["Checker", "Column", "ModelSchema", "TensorSpec", "compile_checker", "load_schema", "no_schema"]
