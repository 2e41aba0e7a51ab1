"""Pretrained backbones: facts, weights, models and where they can be cut.

Nothing is imported here: `registry` and `weights` work without TensorFlow.
"""
