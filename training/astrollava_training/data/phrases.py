"""The wordings the embedded model learns, as data: how people ask, and words for what is seen."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "ARMS",
    "ASKED",
    "BULGE",
    "CANNOT_TELL",
    "ODD",
    "OTHER_KINDS",
    "ROUNDED",
    "SEEN",
    "UNSEEABLE",
    "WOUND",
]

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
    "Is this M31?",
    "Is this M51?",
    "Is this NGC 1300?",
    "Is this the Andromeda galaxy?",
    "Which galaxy is this?",
    "What is it called?",
    "How many stars does it have?",
    "What are its coordinates?",
    "Where in the sky is it?",
    "Does it have a black hole?",
    "Which survey is this from?",
    "Which filter was used?",
    "How big is it in light-years?",
    "What is its luminosity?",
)
"""Questions whose answer no picture shows."""

CANNOT_TELL = "That cannot be told from the picture alone."
"""The answer to all of them."""

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

ROUNDED: Mapping[str, str] = {
    "round": "round",
    "in_between": "moderately elongated",
    "cigar": "strongly elongated",
}
"""Shapes of smooth galaxies."""

BULGE: Mapping[str, str] = {
    "none": "no visible bulge",
    "noticeable": "a small bulge",
    "obvious": "an obvious bulge",
    "dominant": "a dominant bulge",
    "rounded": "a rounded bulge",
    "boxy": "a boxy bulge",
}
"""Bulges of disks; the last two are those of disks seen edge-on, which have a shape, not a size."""

ARMS: Mapping[str, str] = {
    "1": "one spiral arm",
    "2": "two spiral arms",
    "3": "three spiral arms",
    "4": "four spiral arms",
    "more": "more than four spiral arms",
}
"""Numbers of arms; who cannot tell their number names none."""

WOUND: Mapping[str, str] = {
    "tight": "tightly wound",
    "medium": "moderately wound",
    "loose": "loosely wound",
}
"""Windings of arms."""

SEEN: Mapping[str, tuple[str, str, str, str]] = {
    "edge_on": (
        "it is seen edge-on",
        "it may be seen edge-on",
        "it is not seen edge-on",
        "it is not clearly edge-on",
    ),
    "bar": ("there is a bar", "there may be a bar", "there is no bar", "there is no clear bar"),
    "spiral": (
        "it has spiral arms",
        "it may have spiral arms",
        "it has no spiral arms",
        "it has no clear spiral arms",
    ),
    "merging": (
        "two galaxies are merging",
        "two galaxies may be merging",
        "it does not look like a merger",
        "it does not clearly look like a merger",
    ),
    "disturbed": (
        "it looks disturbed",
        "it may be disturbed",
        "it does not look disturbed",
        "it does not clearly look disturbed",
    ),
    "ring": (
        "a ring is visible",
        "a ring may be visible",
        "no ring is visible",
        "no clear ring is visible",
    ),
    "dust_lane": (
        "a dust lane is visible",
        "a dust lane may be visible",
        "no dust lane is visible",
        "no clear dust lane is visible",
    ),
}
"""Yes, perhaps, no and perhaps not, by topic."""

ODD: Mapping[str, str] = {
    "lens": "a lens or arc is visible",
    "other": "something unusual is visible",
}
"""What is odd but no topic of its own."""
