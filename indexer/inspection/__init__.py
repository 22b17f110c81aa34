"""What a corpus holds that nobody wants to find: looked at without a model, and without torch.

`corpus.inspect_corpus` decodes every file once; `near.near_duplicates` asks an index.
"""
