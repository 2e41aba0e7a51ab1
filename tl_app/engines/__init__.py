"""Run a frozen graph fast: compiled, folded, or in a library made for inference.

Nothing is imported here; each engine loads its library when it is built.
"""
