"""The machine under a run: devices, process groups, numbers that a device has yet to compute, preemption, profiling,
and what of Megatron-core is patched. Model, metrics, reports and training import it.
"""
