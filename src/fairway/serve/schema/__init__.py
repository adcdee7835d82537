"""Schemas of models: what they take and give, and the checks of requests made from them."""

from fairway.serve.schema.checker import Checker, compile_checker
from fairway.serve.schema.load import load_schema
from fairway.serve.schema.model import Column, ModelSchema, TensorSpec, no_schema

__all__ = ["Checker", "Column", "ModelSchema", "TensorSpec", "compile_checker", "load_schema", "no_schema"]
