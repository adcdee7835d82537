"""ONNX models as their own bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class OnnxModel:
    """onnx.ModelProto <-> .onnx."""

    format, suffix, types = "onnx", ".onnx", ("onnx.ModelProto",)

    def write(self, value: Any, path: Path) -> Mapping[str, Any]:
        path.write_bytes(value.SerializeToString(deterministic=True))
        return {
            "opset": {o.domain or "ai.onnx": o.version for o in value.opset_import},
            "producer": f"{value.producer_name} {value.producer_version}".strip(),
        }

    def read(self, path: Path, wanted: str, meta: Mapping[str, Any]) -> Any:
        import onnx

        return onnx.load_model_from_string(path.read_bytes())
