"""What an adversary would do with anonymized faces, and a verdict on it.

report = attack_pairs(pair_folders(originals, anonymized, people="folder").pairs)
report.verdict.level            # "exposed", "borderline", "not recognised", or None where too little was tested
"""
