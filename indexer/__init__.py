"""indexer: a corpus in, an index on disk out, and exact answers from it.

It knows files, items, vectors and rankings. It does not know what a query is or how a hit is shown.
Nothing is imported here: `indexer.metrics` and `indexer.conditional` serve training, which runs
where faiss and sqlalchemy are absent.
"""
