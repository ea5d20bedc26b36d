"""From a batch to its loss: tower without gradients, projector, language model, cross-entropy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers import DynamicCache

from astrollava_training.dataset.batches import IGNORED, Batch
from astrollava_training.loop.attention import Segments
from astrollava_training.loop.loss import linear_cross_entropy

__all__ = ["Learner"]

_SEEN_AT_ONCE = 16  # pictures the tower is given at a time where it keeps nothing for a gradient


class Learner(nn.Module):
    """A LLaVA of transformers with the forward pass that training needs.

    Parameters
    ----------
    model : LlavaForConditionalGeneration
        Its language model attends by `astrollava_training.loop.attention.packed`.
    mean, std : sequence of float
        Of the tower's input, red, green and blue.
    longest : int
        Tokens of the longest conversation.
    varlen : bool
        Whether torch's variable-length attention is used.
    alike : bool
        Whether every batch must give every trained parameter a gradient, as processes that add
        theirs up expect of each other.
    """

    def __init__(
        self,
        model: Any,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        longest: int,
        varlen: bool = False,
        alike: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.longest = longest
        self.varlen = varlen
        self._alike = alike
        self._mean = torch.tensor(mean).view(1, 3, 1, 1)
        self._std = torch.tensor(std).view(1, 3, 1, 1)

    def forward(self, batch: Batch, *, say: int = 0) -> torch.Tensor:
        """Return the summed loss of a batch, or what the model says to it.

        Parameters
        ----------
        batch : Batch
            On the device of the model.
        say : int
            Tokens to be said, greedily, after the only conversation of the batch; with none, its
            loss is taken. Both are one method, for FSDP2 gathers weights around this one.

        Returns
        -------
        Tensor
            The loss in nats, float32, scalar; or token ids, int64, shape (say,).
        """
        inner = self.model.model
        embedded = inner.language_model.get_input_embeddings()(batch.ids)
        if len(batch.shades):
            seen = self.see(batch.shades)
            flat = embedded.view(-1, embedded.shape[-1])
            flat = flat.index_copy(0, batch.features, seen.flatten(0, 1).to(flat.dtype))
            embedded = flat.view_as(embedded)
        elif self._alike:
            size = self.model.config.vision_config.image_size
            blank = torch.zeros((1, size, size, 3), dtype=torch.uint8, device=embedded.device)
            embedded = embedded + 0.0 * self.see(blank).sum()
        if say:
            return self._say(embedded, say)
        hidden = inner.language_model(
            inputs_embeds=embedded,
            attention_mask=None,
            position_ids=batch.positions,
            use_cache=False,
            segments=Segments.of(
                batch.bounds, embedded.device, longest=self.longest, varlen=self.varlen
            ),
        ).last_hidden_state
        # Only tokens that are learnt need logits: most of a sequence are pictures and questions.
        targets = batch.targets.view(-1)
        wanted = (targets != IGNORED).nonzero().squeeze(1)
        return linear_cross_entropy(
            hidden.reshape(-1, hidden.shape[-1])[wanted],
            self.model.lm_head.weight,
            targets[wanted],
        )

    def _say(self, embedded: torch.Tensor, count: int) -> torch.Tensor:
        language, head = self.model.model.language_model, self.model.lm_head
        kept = DynamicCache(config=self.model.config.text_config)
        said: list[torch.Tensor] = []
        for _ in range(count):
            hidden = language(
                inputs_embeds=embedded, past_key_values=kept, use_cache=True
            ).last_hidden_state
            said.append(head(hidden[:, -1]).argmax(-1))
            embedded = language.get_input_embeddings()(said[-1][:, None])
        return torch.cat(said)

    def see(self, shades: torch.Tensor) -> torch.Tensor:
        """Return pictures' features as the language model reads them.

        Parameters
        ----------
        shades : Tensor of uint8, shape (pictures, size, size, 3)

        Returns
        -------
        Tensor, shape (pictures, tokens, width of the language model)
        """
        inner = self.model.model
        tower = inner.vision_tower
        if any(parameter.requires_grad for parameter in tower.parameters()):
            found = self._features(shades)
        else:
            # Nothing of the tower is kept for a backward pass that does not reach it.
            with torch.no_grad():
                found = torch.cat([self._features(p) for p in torch.split(shades, _SEEN_AT_ONCE)])
        projected: torch.Tensor = inner.multi_modal_projector(found)
        return projected

    def _features(self, shades: torch.Tensor) -> torch.Tensor:
        config, tower = self.model.config, self.model.model.vision_tower
        pixels = shades.permute(0, 3, 1, 2).float() / 255.0
        pixels = (pixels - self._mean.to(pixels.device)) / self._std.to(pixels.device)
        states = tower(pixel_values=pixels.to(tower.dtype), output_hidden_states=True).hidden_states
        layers = config.vision_feature_layer
        chosen = [states[n] for n in ([layers] if isinstance(layers, int) else layers)]
        if config.vision_feature_select_strategy == "default":
            chosen = [state[:, 1:] for state in chosen]
        return torch.cat(chosen, dim=-1)
