"""Response models, one a file; a new one has its class in the table here. Light to import; the swarm's specification,
fitting and solving import it.
"""

from infra.config.registry import Registry
from mixtures.swarm.responses.base import Response

RESPONSES: Registry[Response] = Registry(
    "response",
    {
        "log_linear": "mixtures.swarm.responses.log_linear:LogLinear",
        "trees": "mixtures.swarm.responses.trees:Trees",
    },
)
