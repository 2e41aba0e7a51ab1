"""What fills the bars beside a picture that is not square."""

from __future__ import annotations

PAD_LEVEL = 127.0
"""Mid-grey. Every family's normalisation maps it close to 0, the value with which
convolutions pad at their borders; black or white bars would be the strongest edges of
the picture, and would agree with some classes' backgrounds and not with others'."""
