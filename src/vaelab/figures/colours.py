"""The colours and line styles of all pictures."""

# Petroff's ten colours (arxiv.org/abs/2107.02270), which people with colour-vision deficiencies can tell apart.
PALETTE = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
BLUE, ORANGE, GREY = PALETTE[0], PALETTE[6], PALETTE[8]
SEQUENTIAL = "viridis"
DIVERGING = "PuOr_r"
LINES = ("-", "--", ":", "-.")  # so that curves differ in more than their colour
