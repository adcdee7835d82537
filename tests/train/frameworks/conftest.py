"""Gangs here are run as those of the room beside."""

from __future__ import annotations

from tests.train.gangs.conftest import rig as rig
