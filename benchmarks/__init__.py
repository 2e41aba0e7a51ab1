"""Measurements of tl_app against what it is meant to beat. Not part of the installed package."""
