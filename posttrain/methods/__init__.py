"""Steering methods, one file each."""

from infra.config.registry import Registry
from posttrain.methods.base import Method

METHODS: Registry[Method] = Registry(
    "method",
    {
        "iti": "posttrain.methods.iti:Iti",
        "none": "posttrain.methods.none:Unsteered",
        "prompt": "posttrain.methods.prompt:Prompt",
        "sasa": "posttrain.methods.sasa:Sasa",
    },
)
