"""Steering methods, one a file; a new one has its options in `options.py` and its class in the table here. Stage,
decoding and cross-entropy import it.
"""

from infra.config.registry import Registry
from posttrain.methods.base import Method

METHODS: Registry[Method] = Registry(
    "method",
    {
        "caa": "posttrain.methods.caa:Caa",
        "conditioned": "posttrain.methods.conditioned:Conditioned",
        "dexperts": "posttrain.methods.dexperts:Dexperts",
        "iti": "posttrain.methods.iti:Iti",
        "none": "posttrain.methods.none:Unsteered",
        "prompt": "posttrain.methods.prompt:Prompt",
        "rad": "posttrain.methods.rad:Rad",
        "sasa": "posttrain.methods.sasa:Sasa",
        "word_filter": "posttrain.methods.word_filter:WordFilter",
    },
)
