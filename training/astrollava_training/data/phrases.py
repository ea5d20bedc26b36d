"""How people ask, as data: the wordings the embedded model learns to understand."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["ASKED", "OTHER_KINDS", "UNSEEABLE"]

ASKED: Mapping[str, tuple[str, ...]] = {
    "what": (
        "What is this?",
        "What is it?",
        "What do you see?",
        "What is shown here?",
        "What does the picture show?",
        "What kind of object is this?",
        "What am I looking at?",
    ),
    "describe": (
        "Describe this galaxy.",
        "Describe the picture.",
        "Please describe the image in detail.",
        "Give a short description.",
        "Tell me about this image.",
    ),
    "class": (
        "What type of galaxy is it?",
        "What kind of galaxy is this?",
        "Classify this galaxy.",
        "What is its morphology?",
        "Which class does the galaxy belong to?",
    ),
    "galaxy": ("Is there a galaxy?", "Is this a galaxy?", "Is a galaxy visible in this image?"),
    "bar": (
        "Is there a bar?",
        "Does it have a bar?",
        "Is the galaxy barred?",
        "Can you see a central bar?",
        "Is there a sign of a bar feature through the centre of the galaxy?",
        "Is it a barred galaxy?",
    ),
    "spiral": (
        "Does it have spiral arms?",
        "Are there spiral arms?",
        "Is it a spiral galaxy?",
        "Is there any sign of a spiral arm pattern?",
        "Is this a spiral?",
    ),
    "arms": (
        "How many arms?",
        "How many spiral arms are there?",
        "How many arms does it have?",
        "What is the number of spiral arms?",
        "Count the spiral arms.",
    ),
    "winding": (
        "How tightly wound are the arms?",
        "How tightly wound do the spiral arms appear?",
        "Are the arms tight or loose?",
    ),
    "edge_on": (
        "Is it edge-on?",
        "Is the galaxy seen edge-on?",
        "Could this be a disk viewed edge-on?",
        "Is this an edge-on disk?",
    ),
    "bulge": (
        "How prominent is the bulge?",
        "Does it have a bulge?",
        "How large is the central bulge?",
        "Is there a bulge?",
        "How prominent is the central bulge, compared with the rest of the galaxy?",
    ),
    "rounded": ("How round is it?", "What is its shape?", "Is it round or elongated?"),
    "smooth": (
        "Is it smooth or does it have features?",
        "Is the galaxy smooth?",
        "Is the galaxy simply smooth and rounded, with no sign of a disk?",
    ),
    "merging": (
        "Is it merging?",
        "Is this a merger?",
        "Are the galaxies interacting?",
        "Is the galaxy merging with another?",
    ),
    "disturbed": (
        "Is it disturbed?",
        "Does the galaxy look disturbed?",
        "Is its shape irregular?",
        "Is there anything odd?",
    ),
    "ring": ("Is there a ring?", "Does it have a ring?", "Can you see a ring?"),
}
"""Wordings by topic; the answers come from the facts."""

UNSEEABLE: tuple[str, ...] = (
    "What is its redshift?",
    "How far away is it?",
    "What is the distance to this galaxy?",
    "How old is it?",
    "What is its mass?",
    "What is the name of this galaxy?",
    "What is its NGC number?",
    "How bright is it in magnitudes?",
    "What is its stellar mass?",
    "How fast does it rotate?",
    "What is its metallicity?",
    "What is its star-formation rate?",
    "Which constellation is it in?",
    "Which telescope took this picture?",
    "When was this picture taken?",
    "How large is it in kiloparsecs?",
    "What is its age?",
    "What is its catalogue name?",
)
"""Questions whose answer no picture shows."""

OTHER_KINDS: Mapping[str, tuple[str, ...]] = {
    "empty": (
        "The picture is empty: no galaxy or star stands out.",
        "Nothing but background is visible in this picture.",
        "No source stands out from the background.",
    ),
    "star_field": (
        "This is a field of stars without a clear galaxy.",
        "The picture shows scattered point sources and no clear galaxy.",
    ),
    "cluster": (
        "This is a dense cluster of stars.",
        "The picture shows many stars crowded together, as in a star cluster.",
    ),
    "star": ("The picture shows a bright star, not a galaxy.", "This is a single bright star."),
}
"""Descriptions of pictures without a galaxy."""
