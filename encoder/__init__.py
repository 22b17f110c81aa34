"""encoder: media files in, tensors and maps out.

The two-stream network of S19 §3 (`two_stream`), its inference wrapper (`embedder`), checkpoints
(`checkpoint`), the decoding of media (`media`) and what is drawn from attention (`heatmap`). It
knows nothing of corpora, indexes or queries.

Nothing is imported here: `encoder.media` must load without torch.
"""
