"""The adversary's and the evaluator's own eyes: other detectors and recognisers than the anonymizer looks with.

pairing = pair_folders("originals", "anonymized")
judged = judge_pairs(pairing.pairs)                 # one row per original face
same_photo(judged.after["edgeface-s"], judged.before["edgeface-s"], threshold)
"""
