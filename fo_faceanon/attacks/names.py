"""What attacks, pictures and thresholds are called in reports."""

from __future__ import annotations

#: Attacks, as they are called in reports.
SAME_PHOTO, ACROSS, SOUGHT, LINKED = "same photo", "across photos", "known person sought", "linked with each other"
PARROT, PLAIN = "parrot, across photos", "plain, in the parrot's galleries"
RESTORED_SAME, RESTORED_ACROSS = "restored, same photo", "restored, across photos"
#: Pictures, as they are called in reports.
ANONYMIZED, FILL, LIGHT, IMPOSTORS, ORIGINALS = "anonymized", "solid fill", "light only", "impostors", "originals"
SHAPE_BEFORE, SHAPE_AFTER = "landmarks of the originals", "landmarks of the anonymized"
#: All judges' scores added up, and all recognisers' vectors side by side with the guide's.
TOGETHER, EVERY = "all judges", "all recognisers"
SHAPE = "68 points"
#: Thresholds, by what they were set on.
OWN, HERE, ITSELF = "LFW half A", "these originals, other people", "this attack's own impostors"
