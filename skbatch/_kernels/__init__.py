"""Numerics on plain arrays: ndarray in, ndarray out."""
