"""Where models come from: one module a source, and what of them is packed."""
