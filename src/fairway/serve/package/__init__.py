"""The model package: what stands in a folder that can be served, and the predictor that is made of it.

`open_package` looks at files and imports no library; `load` imports what the model needs, in the process that calls it.
"""

from fairway.serve.package.loading import load
from fairway.serve.package.opening import open_package
from fairway.serve.package.package import Package
from fairway.serve.package.predictor import Predictor

__all__ = ["Package", "Predictor", "load", "open_package"]
