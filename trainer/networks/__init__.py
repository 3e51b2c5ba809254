"""Adapters over a family's layers."""
