"""Bundles: what crosses the gap. A directory, or several media, of independently checked parts."""
