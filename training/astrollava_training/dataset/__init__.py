"""What a two-stage run learns from: rows of text, pictures, tokens, and how a step is filled.

``rows`` reads LLaVA's JSON and ``shards``; ``templates`` writes a conversation as text, ``masks``
turns it into tokens and says which are learnt; ``pictures`` decodes every picture once; ``corpus``
keeps all of it on disk; ``packing`` decides what a step computes, ``batches`` makes its tensors.
"""
