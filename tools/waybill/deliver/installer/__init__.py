"""Installers of Replicated: one source for KOTS and for both generations of Embedded Cluster."""
