"""The recipe that makes astrollava's models: data, two-stage training, evaluation, export to GGUF."""
