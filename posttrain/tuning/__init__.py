"""Methods that change a model's weights, one a file; a new one has its options in `options.py` and its class in the
table here. The stage `tune` makes of a model another one, which the rest of this floor and the floors above take.
"""

from infra.config.registry import Registry
from posttrain.tuning.base import Tuning

TUNINGS: Registry[Tuning] = Registry(
    "method of tuning",
    {
        "dpo": "posttrain.tuning.dpo:Dpo",
        "instruct": "posttrain.tuning.instruct:Instruct",
        "sft": "posttrain.tuning.sft:Sft",
        "unlearn-relearn": "posttrain.tuning.relearn:Relearn",
    },
)
