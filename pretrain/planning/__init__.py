"""What a training will take, by arithmetic alone: FLOPs, memory, time, layout. Imports nothing heavy."""
