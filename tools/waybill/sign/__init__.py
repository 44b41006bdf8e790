"""Who says it: keys, certificates, signed statements, and whom an environment trusts."""
