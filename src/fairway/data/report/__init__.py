"""Reports: one self-contained page of what was validated, compared, measured."""

from fairway.data.report.page import embed, render

__all__ = ["embed", "render"]
