"""Stores: immutable blobs and revisions named by digest, and refs that move by compare-and-swap."""
