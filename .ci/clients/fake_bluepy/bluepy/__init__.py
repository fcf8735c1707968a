"""Stands in for bluepy, whose radio needs a native build: the same names over a served board."""
