"""Speed of decoding under every steering method, against `transformers.generate`."""
