"""Waybill carries open-weight models across the air gap and through dev, test and prod."""

__version__ = "0.1.0"
