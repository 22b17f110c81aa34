"""Fine-tuning on an index: what its users drew and named mends the encoder that built it.

rows      which items are trained on, and which are held back
recipe    how it is trained: briefly, with a small rate, semi-supervised (S19 §4)
figures   what changed on the held-back part
pictures  heat maps before and after
card      the new checkpoint's model card
run       all of it, from an index to a checkpoint folder

Only `errors` is read before a command runs: this file imports nothing.
"""
