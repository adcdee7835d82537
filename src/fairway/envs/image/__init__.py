"""OCI images without a container daemon: read a base, add layers, push only what the registry lacks."""

from fairway.envs.image.build import Built, ImagePlan, build_image
from fairway.envs.image.reference import Reference, parse_reference

__all__ = ["Built", "ImagePlan", "Reference", "build_image", "parse_reference"]
