"""train: optimisation of the two-stream network: data, losses, loop, figures, checkpoints."""
