"""Response models, one a file: the file's name is the name in YAML. Light to import."""

from infra.registry import Registry
from mixtures.swarm.responses.base import Response

RESPONSES: Registry[Response] = Registry(
    "response",
    {
        "log_linear": "mixtures.swarm.responses.log_linear:LogLinear",
        "trees": "mixtures.swarm.responses.trees:Trees",
    },
)
