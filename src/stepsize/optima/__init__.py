"""Known optima of training objectives, and the gap to them."""
