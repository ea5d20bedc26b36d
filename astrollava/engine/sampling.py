"""How the next token is chosen."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from astrollava.engine.runtime import Bindings
from astrollava.errors import InvalidRequest

__all__ = ["Sampling", "make_sampler"]

#: Generated tokens the repetition penalty looks back on: llama.cpp's default.
_PENALTY_WINDOW = 64


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen, and when to stop.

    Attributes
    ----------
    temperature : float
        0 takes the most probable token each time (greedy); otherwise logits are divided by it.
        In [0, 10].
    top_k : int
        Keep the `top_k` most probable tokens; 0 keeps all. In [0, 2**31).
    top_p : float
        Keep the most probable tokens that together reach this probability. In (0, 1].
    min_p : float
        Drop tokens less probable than `min_p` times the most probable one. In [0, 1].
    repeat_penalty : float
        Divide the logits of the last 64 generated tokens by this; 1 does nothing. In [0.5, 5].
    seed : int
        Start of the random numbers; the same seed gives the same text. In [0, 2**32 - 1).
    max_tokens : int
        Stop after this many tokens; at least 1.

    Raises
    ------
    InvalidRequest
        A value is of another type or outside its range.

    Notes
    -----
    `top_k`, `top_p`, `min_p` and `seed` do nothing at temperature 0.

    Examples
    --------
    >>> Sampling(temperature=0.7, seed=3).to_dict()["seed"]
    3
    """

    temperature: float = 0.0
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    seed: int = 0
    max_tokens: int = 256

    def __post_init__(self) -> None:
        _check_number("temperature", self.temperature, 0, 10)
        _check_integer("top_k", self.top_k, 0, 2**31 - 1)
        _check_number("top_p", self.top_p, 0, 1, above=True)
        _check_number("min_p", self.min_p, 0, 1)
        _check_number("repeat_penalty", self.repeat_penalty, 0.5, 5)
        # 2**32 - 1 asks llama.cpp for a seed of its own.
        _check_integer("seed", self.seed, 0, 2**32 - 2)
        _check_integer("max_tokens", self.max_tokens, 1, 2**31 - 1)

    def to_dict(self) -> dict[str, float | int]:
        """Return the values as a plain dictionary."""
        return asdict(self)


def _check_number(name: str, value: float, low: float, high: float, *, above: bool = False) -> None:
    sound = isinstance(value, (int, float)) and not isinstance(value, bool)
    if sound and math.isfinite(value) and low <= value <= high and not (above and value == low):
        return
    bounds = f"a number {'above' if above else 'from'} {low} {'up ' if above else ''}to {high}"
    raise InvalidRequest(f"{name}={value!r}", expected=bounds)


def _check_integer(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidRequest(f"{name}={value!r}", expected=f"an integer from {low} to {high}")


def make_sampler(lib: Bindings, sampling: Sampling, n_vocab: int) -> Any:
    """Build llama.cpp's sampler chain; free it with ``llama_sampler_free``.

    The order (penalties, top-k, top-p, min-p, temperature, draw) is llama.cpp's own.
    """
    llama = lib.llama
    chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())

    def add(link: Any) -> None:
        llama.llama_sampler_chain_add(chain, link)

    if sampling.repeat_penalty != 1.0:
        penalty = float(sampling.repeat_penalty)
        add(llama.llama_sampler_init_penalties(n_vocab, _PENALTY_WINDOW, penalty, 0.0, 0.0))
    if sampling.temperature == 0:
        add(llama.llama_sampler_init_greedy())
        return chain
    add(llama.llama_sampler_init_top_k(sampling.top_k))
    add(llama.llama_sampler_init_top_p(float(sampling.top_p), 1))
    add(llama.llama_sampler_init_min_p(float(sampling.min_p), 1))
    add(llama.llama_sampler_init_temp(float(sampling.temperature)))
    add(llama.llama_sampler_init_dist(sampling.seed))
    return chain
