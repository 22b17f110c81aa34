"""One module per command of `retrieval`: its options, the call into the engine, the rendering."""
