"""The two-stage recipe: a LLaVA assembled from pretrained parts, trained, exported.

``towers`` and ``openclip`` bring vision towers, ``assemble`` makes the model, ``lora`` its
adapters; ``run`` takes it through its stages and proves what each of them moved, ``exporting``
writes the pair.
"""
