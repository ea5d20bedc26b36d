"""How a stage is trained: forward pass, loss, optimizer, checkpoints, what is shown of it.

``stage`` joins them; ``bench`` measures them on random weights.
"""
