"""The recipe that makes astrollava's models: data, training, evaluation, export to GGUF."""
