"""What a training will take, by arithmetic alone: FLOPs, memory, time, layout. Imports nothing heavy; `hormesis plan`,
studies and the model card import it.
"""
