"""Response models, one a file: the file's name is the name in YAML. Light to import."""

from infra.registry import Registry
from mixtures.swarm.responses.base import Response

RESPONSES: Registry[Response] = Registry("mixtures.swarm.responses", Response)  # type: ignore[type-abstract]
