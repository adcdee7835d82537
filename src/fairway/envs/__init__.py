"""Locked environments: what a step asked for is resolved once, kept by digest, and built once per machine with uv."""

from fairway.envs.build import ensure
from fairway.envs.resolve import get_lock_text, lock

__all__ = ["ensure", "get_lock_text", "lock"]
