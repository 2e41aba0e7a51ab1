"""Augmentations in words, for the screen and the report. No TensorFlow."""

from __future__ import annotations

from tl_app.config import Augmentation


def describe_augmentation(augmentation: Augmentation) -> list[str]:
    """One sentence for each augmentation that is on, with its amount; empty when none is.

    Those that can change what a picture means say so.
    """
    a = augmentation
    lines = []
    if a.flip_horizontal:
        lines.append(
            "mirrored left-right, every other time (may change the meaning: letters, "
            "left and right in medicine; off with --no-flip)"
        )
    if a.flip_vertical:
        lines.append(
            "mirrored top-bottom, every other time (may change the meaning: letters, "
            "anything with an up and a down; off with --no-flip)"
        )
    if a.crop_min_area < 1:
        lines.append(f"cropped to between {a.crop_min_area:.0%} and 100% of the area")
    if a.rotation_degrees > 0:
        lines.append(f"rotated by up to {a.rotation_degrees:g} degrees either way")
    for name, amount in (
        ("brightness", a.brightness),
        ("contrast", a.contrast),
        ("saturation", a.saturation),
    ):
        if amount > 0:
            lines.append(f"{name} changed by up to {amount:.0%} either way")
    if a.hue > 0:
        lines.append(f"hue turned by up to {a.hue * 360:g} degrees either way")
    if a.randaugment_layers > 0:
        times = "change" if a.randaugment_layers == 1 else "changes"
        lines.append(
            f"RandAugment: {a.randaugment_layers} random {times} of strength "
            f"{a.randaugment_magnitude:g} (of 1)"
        )
    if a.erasing_probability > 0:
        lines.append(
            f"a random rectangle replaced by noise in {a.erasing_probability:.0%} of the pictures"
        )
    return lines
