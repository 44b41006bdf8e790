"""Compose files for a host without Kubernetes, from what the chart renders for the same values.

The chart stays the one place that knows images, arguments, settings and who talks to whom. Each
pod becomes services, each ConfigMap and Secret a folder, each NetworkPolicy networks, and every
Service keeps its name as an alias, so that no configuration differs from the one in a cluster.
"""
