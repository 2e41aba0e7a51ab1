"""Findings about the data: copies, leaks, wrong labels, poor pictures, shortcuts, metadata.

What is measured once (`measure`, `near_duplicates`, out-of-fold probabilities) is gathered in an
`evidence.AuditInputs`; every check of `checks.CHECKS` is a pure function from it to findings.
No TensorFlow: features come as arrays.
"""
