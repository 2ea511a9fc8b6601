"""How all pairs are streamed: blocks, panels, tiles within bounded memory."""
