"""Steering methods, one a file; a new one has its options in `options.py` and its class in the table here. Stage,
decoding and cross-entropy import it.
"""

from infra.config.registry import Registry
from posttrain.methods.base import Method

METHODS: Registry[Method] = Registry(
    "method",
    {
        "caa": "posttrain.methods.caa:Caa",
        "iti": "posttrain.methods.iti:Iti",
        "none": "posttrain.methods.none:Unsteered",
        "prompt": "posttrain.methods.prompt:Prompt",
        "sasa": "posttrain.methods.sasa:Sasa",
    },
)
