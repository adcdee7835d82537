"""Reports: one self-contained page of what was validated, compared, measured."""

from fairway.data.report.page import render

__all__ = ["render"]
