"""A vision tower trained further, or anew, on pictures and captions, by open_clip's losses.

Whether the tower is what limits a LLaVA is then a question of two recipes: the same but for
``model.tower``.
"""
