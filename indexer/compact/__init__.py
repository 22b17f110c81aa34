"""The compact form of an index: small codes of maps and vectors, and searching by them."""
