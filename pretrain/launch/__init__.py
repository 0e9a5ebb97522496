"""How a training's processes and the command that has started them talk: through the work folder."""
