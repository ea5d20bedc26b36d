"""What the model is trained on: simulated galaxies, voted real ones, and the facts about each.

``facts`` says what is known about a picture, ``simulate`` makes pictures with facts, ``galaxies``
reads pictures with volunteers' votes, and ``augment`` varies real pictures as other surveys would
show them.
"""
