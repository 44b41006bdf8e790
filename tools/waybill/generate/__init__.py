"""Everything that is generated from code and data; `python -m waybill.generate`."""
