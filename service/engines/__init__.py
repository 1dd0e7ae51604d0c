"""What runs the networks. An engine takes batches of uint8 pictures and returns decoded numpy arrays."""
