"""Network definitions and the checkpoint format, shared with training."""
