"""From the token files of a mixture to the batches of a step: schedule of epochs, order, samples, prefetching. Imports
no model; training, planning and reports import it.
"""
